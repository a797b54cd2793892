// SPDX-License-Identifier: Apache-2.0
import { DeadlineError } from "../../lib/async/clock.ts";
import { describeError, systemCode } from "../../lib/errors.ts";
import { formatHostPort, type HostPort } from "../../lib/net/host-port.ts";
import { escapeControls } from "../../lib/printable-text.ts";

/** The peer ended the connection before it was of use. */
export class ConnectionClosedError extends Error {}

/** Why there was no connection with TLS. */
export type PeerProblem =
  | "name-unknown"
  | "not-listening"
  | "unreachable"
  | "plaintext"
  | "closed"
  | "handshake-timeout"
  | "certificate-rejected"
  | "certificate-required"
  | "protocol-mismatch"
  | "handshake-failed";

export interface PeerFailure {
  readonly problem: PeerProblem;
  /** What happened. */
  readonly reason: string;
  /** What to do, one sentence; empty where nothing better than the reason is known. */
  readonly advice: string;
}

/** TCP was not connected. */
export function explainConnectError(error: unknown, target: HostPort): PeerFailure {
  const code = systemCode(error) ?? firstCode(error);
  const where = formatHostPort(target);
  if (error instanceof DeadlineError) {
    const advice = "a network policy, a firewall or a wrong address drops the packets";
    return failure("unreachable", `${where} did not accept a connection in time`, advice);
  }
  switch (code) {
    case "ENOTFOUND":
      return failure("name-unknown", `the name ${target.host} is not known`, "check the spelling and the namespace");
    case "EAI_AGAIN":
      return failure("name-unknown", `no resolver responded for ${target.host}`, "check DNS in this pod");
    case "ECONNREFUSED":
      return failure("not-listening", `nothing listens at ${where}`, "check the port, and that the peer runs");
    default:
      return failure("unreachable", `${where} cannot be reached: ${describeError(error)}`, "check address and network");
  }
}

/** Of several addresses, all of which failed. */
function firstCode(error: unknown): string | undefined {
  return error instanceof AggregateError ? error.errors.map(systemCode).find((code) => code !== undefined) : undefined;
}

/** What the TLS library reports for a response that is not TLS. Source: OpenSSL, sslerr.h */
const plaintextReasons =
  /WRONG_VERSION_NUMBER|PACKET_LENGTH_TOO_LONG|HTTP_REQUEST|UNEXPECTED_MESSAGE|RECORD_LAYER|EPROTO/;

export interface HandshakeState {
  /** Whether the client has a certificate. */
  readonly presented: boolean;
  /** Whether the client's side of the handshake was completed. */
  readonly secured: boolean;
}

/** TCP was connected, and then no TLS, or not to the end. */
export function explainHandshakeError(error: unknown, { presented, secured }: HandshakeState): PeerFailure {
  if (error instanceof DeadlineError) {
    const advice = "it may be a plaintext port of a protocol in which the client speaks first";
    return failure(
      "handshake-timeout",
      "the peer accepts connections, but does not respond to a TLS handshake",
      advice,
    );
  }
  const code = systemCode(error) ?? "";
  const alert = /ALERT_([A-Z_]+)$/.exec(code)?.[1];
  if (alert !== undefined) return ofAlert(alert, presented);
  if (plaintextReasons.test(code)) {
    return failure("plaintext", "the peer does not speak TLS on this port", "use the port of its mTLS listener");
  }
  if (code === "ECONNRESET" || code === "EPIPE" || error instanceof ConnectionClosedError) {
    if (secured) return closedAfter(presented);
    const text = "the peer closed the connection during the handshake, without saying why";
    return failure("closed", text, "a plaintext port, or a listener without a filter chain for this name (--sni)");
  }
  const reason: unknown = error instanceof Error ? Reflect.get(error, "reason") : undefined;
  const text = typeof reason === "string" ? escapeControls(reason) : describeError(error);
  return failure("handshake-failed", `the TLS handshake failed: ${text}`, "");
}

/** With TLS 1.3, a server judges the client's certificate last, and some servers report no alert. */
function closedAfter(presented: boolean): PeerFailure {
  const text = "the peer closed the connection right after the handshake, without saying why";
  return presented
    ? failure(
        "certificate-rejected",
        `${text}: most likely it rejected this workload's certificate`,
        rejectionAdvice(""),
      )
    : failure("certificate-required", `${text}: most likely it requires a client certificate`, presentAdvice);
}

const presentAdvice = "run the command as the user of the agent, beside it";

/** @param alert as OpenSSL names it, for example `UNKNOWN_CA`. Source: RFC 8446 section 6 */
function ofAlert(alert: string, presented: boolean): PeerFailure {
  const name = alert.toLowerCase().replaceAll("_", " ");
  const isAboutClient = /CERTIFICATE|UNKNOWN_CA|ACCESS_DENIED|DECRYPT_ERROR/.test(alert);
  if (alert === "CERTIFICATE_REQUIRED" || (isAboutClient && !presented)) {
    const text = `the peer requires a client certificate, and none was presented (alert: ${name})`;
    return failure("certificate-required", text, presentAdvice);
  }
  if (isAboutClient) {
    const text = `the peer rejected this workload's certificate (alert: ${name})`;
    return failure("certificate-rejected", text, rejectionAdvice(alert));
  }
  if (/PROTOCOL_VERSION|NO_APPLICATION_PROTOCOL|UNRECOGNIZED_NAME|INSUFFICIENT_SECURITY/.test(alert)) {
    const text = `the peer does not agree to version, protocol or server name (alert: ${name})`;
    return failure("protocol-mismatch", text, "check --sni, and the TLS settings of the peer");
  }
  if (alert === "HANDSHAKE_FAILURE" && !presented) {
    const text = `the peer ended the handshake (alert: ${name}); no client certificate was presented`;
    return failure("handshake-failed", text, "it may require one: run the command as the user of the agent");
  }
  return failure("handshake-failed", `the peer ended the handshake (alert: ${name})`, "the peer's log has the reason");
}

function rejectionAdvice(alert: string): string {
  if (alert.includes("EXPIRED")) return "renew it with --renew, or compare the clocks of both machines";
  if (alert.includes("REVOKED")) return "it is on a revocation list of the peer: renew it with --renew";
  return "compare the roots of both: the peer does not trust this workload's root, or does not admit its SPIFFE ID";
}

function failure(problem: PeerProblem, reason: string, advice: string): PeerFailure {
  return { problem, reason, advice };
}
