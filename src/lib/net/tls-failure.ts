// SPDX-License-Identifier: Apache-2.0
import { X509Certificate } from "node:crypto";
import { DeadlineError } from "../async/clock.ts";
import { formatSpan } from "../relative-time.ts";
import { describeError, systemCode } from "../errors.ts";
import { splitPem } from "../pki/pem.ts";
import { escapeControls } from "../printable-text.ts";
import { type TlsClientOptions, TlsError } from "./tls-error.ts";

/** The library's codes for a chain that leads to no trusted root. Source: OpenSSL, X509_verify_cert_error_string(3) */
const untrustedCodes: ReadonlySet<string> = new Set([
  ...["UNABLE_TO_GET_ISSUER_CERT", "UNABLE_TO_GET_ISSUER_CERT_LOCALLY", "UNABLE_TO_VERIFY_LEAF_SIGNATURE"],
  ...["DEPTH_ZERO_SELF_SIGNED_CERT", "SELF_SIGNED_CERT_IN_CHAIN", "CERT_SIGNATURE_FAILURE", "INVALID_CA"],
  ...["CERT_UNTRUSTED", "CERT_REJECTED", "INVALID_PURPOSE", "PATH_LENGTH_EXCEEDED", "CERT_CHAIN_TOO_LONG"],
]);
const plaintextCodes: ReadonlySet<string> = new Set(["EPROTO", "ERR_SSL_WRONG_VERSION_NUMBER"]);
const mostShown = 3;
const mostTextLength = 200;
const longestChain = 10;

/** What is known of a handshake when it fails. */
export interface HandshakeFacts {
  /** The server's certificate, when it sent one. */
  readonly peer: X509Certificate | undefined;
  readonly options: TlsClientOptions;
  /** When it failed; wall clock. */
  readonly nowMs: number;
}

/** Explains why a handshake failed, without the library's advice, which is about the runtime. */
export function explainTlsFailure(error: Error, facts: HandshakeFacts): Error {
  if (error instanceof DeadlineError) {
    const text = `the server accepts connections, but did not finish the TLS handshake within ${String(error.afterMs)} ms`;
    return new TlsError("handshake-timeout", text, error);
  }
  const code = systemCode(error) ?? "";
  if (untrustedCodes.has(code)) return new TlsError("untrusted-root", untrustedText(facts, error), error);
  if (code === "ERR_TLS_CERT_ALTNAME_INVALID") return new TlsError("wrong-name", wrongNameText(facts), error);
  if (code === "CERT_HAS_EXPIRED") return new TlsError("expired", validityText(facts, "expired"), error);
  if (code === "CERT_NOT_YET_VALID") return new TlsError("not-yet-valid", validityText(facts, "begins"), error);
  return new TlsError("handshake-failed", handshakeText(code, error), error);
}

function untrustedText({ peer, options }: HandshakeFacts, error: Error): string {
  const { rootsFile } = options;
  const chain = chainOf(peer);
  const served = `the server's certificate (${describe(peer)}${viaText(chain)})`;
  if (rootsFile === undefined) {
    return `${served} leads to none of the system's roots; give the file with the root of that issuer`;
  }
  const roots = readAll(rootsFile.pem);
  const held = namesText(roots.map(subjectOf));
  const names = new Set(roots.map(({ subject }) => subject));
  const isImpostor = chain.some(({ issuer }) => names.has(issuer));
  const why = isImpostor
    ? `is not signed by the root of that name in ${rootsFile.path}: the server's CA has another key`
    : `leads to no root in ${rootsFile.path}, which has ${held}`;
  const code = systemCode(error) ?? "";
  return `${served} ${why}; put the root of that issuer there (${code})`;
}

/** The issuers above the first, as far as the server sent them. */
function viaText(chain: readonly X509Certificate[]): string {
  return chain.length < 2 ? "" : `, whose issuer is ${issuerOf(chain.at(-1))}`;
}

function wrongNameText({ peer, options }: HandshakeFacts): string {
  const name = options.servername ?? options.host ?? "the name in the address";
  return `the server's certificate (${describe(peer)}) is for ${alternativeNames(peer)}, not for ${name}`;
}

/** The certificate at fault may be an issuer of the server's. */
function validityText({ peer, options, nowMs }: HandshakeFacts, what: "expired" | "begins"): string {
  const time = (one: X509Certificate): number => Date.parse(what === "expired" ? one.validTo : one.validFrom);
  const isWrong = (one: X509Certificate): boolean => (what === "expired" ? time(one) <= nowMs : time(one) > nowMs);
  const verb = what === "expired" ? "expired at" : "begins at";
  const distance = (one: X509Certificate): string => {
    const text = formatSpan(Math.abs(time(one) - nowMs));
    return what === "expired" ? `${text} ago` : `in ${text}`;
  };
  const when = (one: X509Certificate): string =>
    `${verb} ${new Date(time(one)).toISOString()}, ${distance(one)} by this machine's clock`;
  const advice = "renew it, or set the clock that is wrong";
  const chain = chainOf(peer);
  const wrong = chain.find(isWrong);
  if (wrong !== undefined) {
    const which = wrong === chain[0] ? "the server's certificate" : "the certificate of an issuer of the server";
    return `${which} (${describe(wrong)}) ${when(wrong)}; ${advice}`;
  }
  const { path = "", pem = "" } = options.rootsFile ?? {};
  const root = readAll(pem).find(isWrong);
  if (root !== undefined) return `the root in ${path} (${describe(root)}) ${when(root)}; replace it there`;
  return `a certificate of the server's chain (${describe(peer)}) ${what === "expired" ? "has expired" : "is not valid yet"}; ${advice}`;
}

function handshakeText(code: string, error: Error): string {
  if (plaintextCodes.has(code)) return "the peer does not speak TLS; is this a plaintext port?";
  // The library's own message has its source files and lines.
  const reason: unknown = Reflect.get(error, "reason");
  if (typeof reason !== "string") return `the TLS handshake failed: ${describeError(error)}`;
  const isAboutClient = /alert.*(certificate|unknown ca|access denied|decrypt error)/.test(reason);
  const advice = isAboutClient ? "; the server does not accept this client's certificate, or its absence" : "";
  return `TLS failed: ${reason}${advice}`;
}

function chainOf(peer: X509Certificate | undefined): readonly X509Certificate[] {
  const chain: X509Certificate[] = [];
  for (let next = peer; next !== undefined && chain.length < longestChain; next = next.issuerCertificate) {
    const { fingerprint256 } = next;
    if (chain.some((one) => one.fingerprint256 === fingerprint256)) break;
    chain.push(next);
  }
  return chain;
}

function readAll(pem: string): readonly X509Certificate[] {
  return splitPem(pem).blocks.flatMap(({ der }) => {
    try {
      return [new X509Certificate(der)];
    } catch {
      return [];
    }
  });
}

/** Subject and issuer; the alternative names where the subject is empty. */
function describe(one: X509Certificate | undefined): string {
  if (one === undefined) return "not received";
  return `subject ${subjectOf(one)}, issuer ${issuerOf(one)}`;
}

function subjectOf(one: X509Certificate): string {
  return oneLine(one.subject) === "" ? alternativeNames(one) : JSON.stringify(oneLine(one.subject));
}

function issuerOf(one: X509Certificate | undefined): string {
  return JSON.stringify(oneLine(one?.issuer ?? ""));
}

function alternativeNames(one: X509Certificate | undefined): string {
  return one?.subjectAltName === undefined ? "no name" : oneLine(one.subjectAltName);
}

function namesText(names: readonly string[]): string {
  if (names.length === 0) return "no certificate that can be read";
  const shown = names.slice(0, mostShown).join(", ");
  return names.length > mostShown ? `${shown} and ${String(names.length - mostShown)} more` : shown;
}

/** The parts of a name come on lines of their own; a peer chooses their content. */
function oneLine(text: string | undefined): string {
  return escapeControls((text ?? "").replaceAll("\n", ", ")).slice(0, mostTextLength);
}
