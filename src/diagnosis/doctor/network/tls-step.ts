// SPDX-License-Identifier: Apache-2.0
import type { X509Certificate } from "node:crypto";
import type { Socket } from "node:net";
import type { TLSSocket } from "node:tls";
import { type Clock, deadline } from "../../../lib/async/clock.ts";
import { orAborted } from "../../../lib/async/tasks.ts";
import { describeError } from "../../../lib/errors.ts";
import { formatHostPort } from "../../../lib/net/host-port.ts";
import { readTlsClientOptions, type TlsClientConfig } from "../../../lib/net/tls-client.ts";
import { type TlsClientOptions, TlsError, type TlsFailure } from "../../../lib/net/tls-error.ts";
import { explainTlsFailure } from "../../../lib/net/tls-failure.ts";
import { isExpired, issuerOf, nameOf, parseCertificates, validityOf } from "../certificates.ts";
import { withoutAdvice } from "../cure.ts";
import type { Peer } from "./peers.ts";
import { blocked, failed, milliseconds, passed, type Step } from "./step.ts";
import { peerChain } from "../../../lib/pki/peer-chain.ts";

const handshakeMs = 1_000;

/** What a server presented in the handshake. */
export interface ServerTls {
  /** The server's certificate first. */
  readonly chain: readonly X509Certificate[];
}

interface TlsResult {
  readonly steps: readonly Step[];
  readonly server: ServerTls | undefined;
}

/**
 * Makes TLS with a connected peer and finds everything that is wrong with its certificate, not only the first thing. The
 * connection is closed then: nothing is sent over one that may be to another server.
 */
export async function checkTls(
  peer: Peer,
  config: TlsClientConfig,
  socket: Socket,
  clock: Clock,
  signal: AbortSignal,
): Promise<TlsResult> {
  using _ = { [Symbol.dispose]: () => void socket.destroy() };
  const startMs = clock.monotonicMs();
  let options: TlsClientOptions;
  try {
    options = await readTlsClientOptions(config, clock.now());
  } catch (error) {
    const fact = `${peer.role}: its certificate cannot be verified: ${describeError(error)}`;
    return { steps: [blocked("tls", fact, "roots or config")], server: undefined };
  }
  using limit = deadline(clock, handshakeMs, signal);
  let secured: TLSSocket;
  try {
    secured = await handshake(socket, options, peer, limit.signal);
  } catch (error) {
    const cause = error instanceof Error ? error : new Error(String(error));
    const explained = explainTlsFailure(cause, { peer: undefined, options, nowMs: clock.now() });
    return { steps: [stepOf(explained, peer, config)], server: undefined };
  }
  const chain = peerChain(secured.getPeerX509Certificate());
  const tookMs = clock.monotonicMs() - startMs;
  const steps = await judge({ peer, config, options, secured, chain, nowMs: clock.now(), tookMs });
  return { steps, server: { chain } };
}

/** The certificate is judged afterwards, so the handshake goes on whatever it is. */
async function handshake(
  socket: Socket,
  options: TlsClientOptions,
  peer: Peer,
  signal: AbortSignal,
): Promise<TLSSocket> {
  const { connect } = await import("node:tls");
  const protocols = peer.http2 ? { ALPNProtocols: ["h2"] } : {};
  const secured = connect({ ...options, ...protocols, socket, rejectUnauthorized: false });
  const done = new Promise<TLSSocket>((resolve, reject) => {
    secured.once("secureConnect", () => {
      resolve(secured);
    });
    secured.on("error", reject);
    secured.once("close", () => {
      reject(new Error("the server closed the connection during the handshake"));
    });
  });
  return await orAborted(done, signal);
}

interface Judged {
  readonly peer: Peer;
  readonly config: TlsClientConfig;
  readonly options: TlsClientOptions;
  readonly secured: TLSSocket;
  readonly chain: readonly X509Certificate[];
  readonly nowMs: number;
  readonly tookMs: number;
}

async function judge({ peer, config, options, secured, chain, nowMs, tookMs }: Judged): Promise<readonly Step[]> {
  const [leaf] = chain;
  const { checkServerIdentity } = await import("node:tls");
  const named = leaf === undefined ? undefined : checkServerIdentity(config.serverName, leaf.toLegacyObject());
  const code = codeOf(secured.authorizationError);
  const errors = [...(code === undefined || code === wrongName ? [] : [new CodedError(code)])];
  if (named !== undefined) errors.push(new CodedError(wrongName));
  const steps = errors.map((error) => {
    const explained = explainTlsFailure(error, { peer: leaf, options, nowMs });
    return stepOf(explained, peer, config, isFaultOfRoots(explained, chain, options, nowMs));
  });
  if (steps.length > 0) return steps;
  if (peer.http2 && secured.alpnProtocol !== "h2") {
    const cure = `Correct ${peer.settings.address}: the port must be that of a gRPC server.`;
    return [failed("tls", `${peer.role}: the server speaks TLS but not HTTP/2`, cure)];
  }
  const facts = leaf === undefined ? "" : `: ${describeLeaf(leaf)}`;
  const version = secured.getProtocol() ?? "TLS";
  return [
    passed("tls", `${peer.role} is verified as ${config.serverName}, ${version} (${milliseconds(tookMs)})${facts}`),
  ];
}

const wrongName = "ERR_TLS_CERT_ALTNAME_INVALID";

/** The library's verdict, in the form in which it throws one. */
class CodedError extends Error {
  readonly code: string;
  constructor(code: string) {
    super(code);
    this.code = code;
  }
}

/** The library gives the code, although its type says that it is an error. */
function codeOf(verdict: unknown): string | undefined {
  if (verdict instanceof Error && "code" in verdict) return String(verdict.code);
  return typeof verdict === "string" ? verdict : undefined;
}

/**
 * Whether the roots are at fault, which their check reports: none can be read, or every certificate that has expired is one
 * of them.
 */
function isFaultOfRoots(
  error: Error,
  chain: readonly X509Certificate[],
  { rootsFile }: TlsClientOptions,
  nowMs: number,
): boolean {
  if (!(error instanceof TlsError) || rootsFile === undefined) return false;
  const roots = new Set(parseCertificates(rootsFile.pem).certificates.map((root) => root.fingerprint256));
  if (error.failure === "untrusted-root") return roots.size === 0;
  if (error.failure !== "expired") return false;
  return chain.filter((one) => isExpired(one, nowMs)).every((one) => roots.has(one.fingerprint256));
}

function stepOf(error: Error, peer: Peer, config: TlsClientConfig, isOfRoots = false): Step {
  const { failure } = error instanceof TlsError ? error : { failure: "handshake-failed" as const };
  const fact = `${peer.role} ${formatHostPort(peer.address)}: ${withoutAdvice(error.message)}`;
  // How far the clocks are apart is the subject of another check.
  if (failure === "not-yet-valid") return blocked("tls", fact, "clock");
  if (isOfRoots) return blocked("tls", fact, "roots");
  return failed("tls", fact, cureOf(failure, peer, config));
}

function cureOf(
  failure: Exclude<TlsFailure, "not-yet-valid">,
  { settings, role }: Peer,
  { roots }: TlsClientConfig,
): string {
  const file = roots.kind === "file" ? `put the root of that issuer into ${roots.path}` : "give the file of its root";
  switch (failure) {
    case "untrusted-root":
      return `Check that ${settings.address} is the right server; if it is, ${file} (${settings.roots}).`;
    case "wrong-name":
      return `Use a name of the certificate in ${settings.address}, or give one in ${settings.serverName}.`;
    case "expired":
      return "Renew the certificate; if it should be valid, set this machine's clock: see clock.";
    case "handshake-timeout":
      return `Check that the ${role} is not overloaded, and that ${settings.address} is its TLS port.`;
    case "handshake-failed":
      return `Check that ${settings.address} is the TLS port of the ${role}; istiod's is 15012.`;
  }
}

function describeLeaf(leaf: X509Certificate): string {
  const until = `valid until ${new Date(validityOf(leaf)[1]).toISOString()}`;
  return `${nameOf(leaf)}, issuer ${issuerOf(leaf)}, names ${leaf.subjectAltName ?? "none"}, ${until}`.slice(0, 600);
}
