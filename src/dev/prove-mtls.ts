// SPDX-License-Identifier: Apache-2.0
import { connect } from "node:net";
import { type Clock, deadline } from "../lib/async/clock.ts";
import { describeError } from "../lib/errors.ts";
import { loopback, requestHttp } from "../lib/net/http-client.ts";
import type { App } from "./apps.ts";
import { spiffeIdOf } from "./mesh.ts";
import type { ProofOutcome } from "./report.ts";

/** The caller's certificate, as Envoy forwards it to the application. */
export interface ForwardedClientCert {
  /** SPIFFE ID of the caller; empty when its certificate has none. */
  readonly uri: string;
  /** SHA-256 of its certificate, hexadecimal. */
  readonly hash: string;
}

/** The result of one request web -> api. */
export interface MeshResponse {
  /** 0 when there was no response. */
  readonly status: number;
  /** The caller's certificate as api's application received it; undefined when the request did not get there. */
  readonly peer: ForwardedClientCert | undefined;
  /** What went wrong, when the response is not api's. */
  readonly problem: string;
}

/** Sends a request to web's application, which calls api through both Envoys. Never throws: a failure is a result. */
export async function requestApiThroughMesh(
  webAppPort: number,
  path: string,
  signal: AbortSignal,
): Promise<MeshResponse> {
  try {
    const response = await requestHttp({ url: loopback(webAppPort, path) }, signal);
    const header = response.status === 200 ? forwardedCertOf(response.text()) : undefined;
    const peer = header === undefined ? undefined : parseForwardedClientCert(header);
    return { status: response.status, peer, problem: peer === undefined ? response.text().trim() : "" };
  } catch (error) {
    return { status: 0, peer: undefined, problem: describeError(error) };
  }
}

/** The header that api says it received; undefined when the body is not a response of api. */
export function forwardedCertOf(body: string): string | undefined {
  try {
    const response: unknown = JSON.parse(body);
    if (typeof response !== "object" || response === null || !("forwardedClientCert" in response)) return undefined;
    return typeof response.forwardedClientCert === "string" ? response.forwardedClientCert : undefined;
  } catch {
    return undefined;
  }
}

/**
 * Parses the header `x-forwarded-client-cert` of one hop: `By=...;Hash=...;URI=...`.
 * Source: Envoy's HTTP connection manager documentation, x-forwarded-client-cert
 */
export function parseForwardedClientCert(header: string): ForwardedClientCert {
  const fields = new Map<string, string>();
  for (const pair of header.split(";")) {
    const at = pair.indexOf("=");
    if (at > 0) fields.set(pair.slice(0, at).trim().toLowerCase(), pair.slice(at + 1).replaceAll('"', ""));
  }
  return { uri: fields.get("uri") ?? "", hash: fields.get("hash") ?? "" };
}

/** Proves that web reaches api over mTLS, and that api receives the identity of its caller. */
export async function proveMtls(
  webAppPort: number,
  signal: AbortSignal,
): Promise<ProofOutcome<{ readonly mtlsStatus: number; readonly peerSeenByApi: string | null }>> {
  const { status, peer, problem } = await requestApiThroughMesh(webAppPort, "/proof/mtls", signal);
  const facts = { mtlsStatus: status, peerSeenByApi: peer?.uri ?? null };
  const expected = spiffeIdOf("web");
  const detail = problem === "" ? "" : `: ${problem}`;
  if (status !== 200) return failed(facts, `request web -> api returned ${String(status)} instead of 200${detail}`);
  if (peer?.uri !== expected) {
    return failed(facts, `api saw the caller ${JSON.stringify(peer?.uri ?? "")} instead of ${expected}${detail}`);
  }
  return { facts, failure: undefined };
}

function failed<Facts>(facts: Facts, why: string): ProofOutcome<Facts> {
  return { facts, failure: { proof: "mtls", why } };
}

/** The result of plain HTTP on a TCP connection. */
export interface PlainAttempt {
  readonly connected: boolean;
  /** The first bytes that came back, as text. */
  readonly response: string;
  readonly problem: string;
}

const plainTextPath = "/proof/plain-text";
const silenceMs = 5_000;

/**
 * Proves that api's Envoy rejects a caller without TLS: the connection is accepted, no HTTP response comes back, the
 * connection is closed, and the application never sees the request. A port that accepts no connection is no proof.
 */
export async function provePlainTextRejected(
  attemptPlain: (signal: AbortSignal) => Promise<PlainAttempt>,
  apiApp: App,
  clock: Clock,
  signal: AbortSignal,
): Promise<ProofOutcome<{ readonly plainTextRefused: boolean }>> {
  using limit = deadline(clock, silenceMs, signal);
  const attempt = await attemptPlain(limit.signal);
  signal.throwIfAborted();
  const why = problemOf(attempt, apiApp.seenPaths.includes(plainTextPath));
  const facts = { plainTextRefused: why === undefined };
  return { facts, failure: why === undefined ? undefined : { proof: "plain-text", why } };
}

function problemOf({ connected, response, problem }: PlainAttempt, reachedApp: boolean): string | undefined {
  if (reachedApp) return "a plain-text request reached api's application";
  if (!connected) return `api's port accepts no connection: ${problem}`;
  if (response.startsWith("HTTP/")) return `api's port responded to plain HTTP: ${response.split("\r\n")[0] ?? ""}`;
  if (problem !== "") return `api's port neither responded nor closed the connection: ${problem}`;
  return undefined;
}

/** Never throws: a failure is a result. */
export function attemptPlainHttp(
  to: { readonly host: string; readonly port: number },
  signal: AbortSignal,
): Promise<PlainAttempt> {
  return new Promise((resolve) => {
    let connected = false;
    let response = "";
    const socket = connect({ ...to, signal });
    const finish = (problem: string): void => {
      socket.destroy();
      resolve({ connected, response, problem });
    };
    socket.on("connect", () => {
      connected = true;
      socket.write(`GET ${plainTextPath} HTTP/1.1\r\nhost: api\r\nconnection: close\r\n\r\n`);
    });
    socket.on("data", (bytes: Buffer) => {
      response += bytes.toString("latin1");
    });
    socket.on("close", () => {
      finish("");
    });
    socket.on("error", (error: NodeJS.ErrnoException) => {
      finish(connected && error.code === "ECONNRESET" ? "" : describeError(error));
    });
  });
}
