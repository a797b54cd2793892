// SPDX-License-Identifier: Apache-2.0
import { untilAborted } from "../lib/async/tasks.ts";
import type { GrpcTarget } from "../lib/grpc/client.ts";
import { ConnectProgress } from "../lib/grpc/connect-progress.ts";
import type { Dial } from "../lib/grpc/dial.ts";
import type { Metadata } from "../lib/grpc/metadata.ts";
import { OutageLog } from "../lib/log/outage-log.ts";
import { formatHostPort } from "../lib/net/host-port.ts";
import { readTlsClientOptions, readTlsClientPair } from "../lib/net/tls-client.ts";
import { joinPem } from "../lib/pki/pem.ts";
import type { SignedChain, SigningRequest } from "../model/signing.ts";
import type { ReadToken } from "../model/token.ts";
import { createCloudToken, readToken } from "./bearer-token.ts";
import { CaError } from "./ca-error.ts";
import { tlsFilesOf, untilReachable } from "./retry-causes.ts";
import type { CaDeps, CaProtocol, IstioCaConfig } from "./types.ts";

const createCertificate = "/istio.v1.auth.IstioCertificateService/CreateCertificate";
const mostConnectMs = 5_000;
/** Connecting ends before the attempt does, so that the error says whether TCP or TLS hung. */
const connectShare = 0.9;

/**
 * Istio's certificate service, as istiod, istio-csr and the embedded CA serve it. Each attempt has a connection of its
 * own: attempts are hours apart, and files replaced since the last one take effect.
 * Source: the service's messages and metadata as observed with Istio 1.31
 */
export function createIstioCa(config: IstioCaConfig, deps: CaDeps): CaProtocol {
  const { tokenPath } = config;
  const readFileToken = tokenPath === undefined ? undefined : () => readToken(tokenPath, deps.clock.now());
  const token = config.cloudToken === undefined ? readFileToken : createCloudToken(config.cloudToken, deps);
  const tokenOutage = new OutageLog(deps.log, deps.clock, { recovered: "token for the CA is usable again" });
  const ca: IstioCa = { config, deps, token, tokenOutage, lacksToken: false, progress: undefined };
  return {
    sign: (request, signal) => sign(ca, request, signal),
    causeFiles: filesOf(config),
    untilCredential: (signal) => untilCloudToken(ca, signal),
    untilReachable: (signal) => untilReachable(config, deps.clock, signal),
    describeWait: () => ca.progress && `the CA at ${formatHostPort(config)} ${ca.progress.text()}`,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** The files that decide whether a call can succeed. */
function filesOf({ tokenPath, security }: IstioCaConfig): readonly string[] {
  return [tokenPath, ...tlsFilesOf(security)].filter((path) => path !== undefined);
}

interface IstioCa {
  readonly config: IstioCaConfig;
  readonly deps: CaDeps;
  /** Undefined when no token is sent. */
  readonly token: ReadToken | undefined;
  readonly tokenOutage: OutageLog;
  /** Whether the last call had no token. */
  lacksToken: boolean;
  /** Of the last call. */
  progress: ConnectProgress | undefined;
}

/** While the last call had no token, the metadata server is asked for one so often. */
const cloudTokenIntervalMs = 1_250;

async function untilCloudToken({ config, deps, token, lacksToken }: IstioCa, signal: AbortSignal): Promise<void> {
  if (config.cloudToken === undefined || token === undefined || !lacksToken) {
    await untilAborted(signal);
    return;
  }
  try {
    do await deps.clock.delay(cloudTokenIntervalMs, signal);
    while ((await token(signal)).kind !== "usable");
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

async function sign(
  ca: IstioCa,
  { csrPem, ttlMs, spiffeId }: SigningRequest,
  signal: AbortSignal,
): Promise<SignedChain> {
  const { config, deps } = ca;
  const address = formatHostPort(config);
  const { metadata, token } = await metadataFor(ca, signal);
  const progress = new ConnectProgress();
  const target = await targetFor(config, progress.dial, deps.clock.now());
  ca.progress = progress;
  const [{ createGrpcChannel }, { decodeResponse, encodeRequest, failureOf }] = await Promise.all([
    import("../lib/grpc/client.ts"),
    import("./istio-messages.ts"),
  ]);
  const authority = config.security.kind === "tls" ? config.security.serverName : address;
  const { keepalive, timeoutPerTryMs } = config;
  const connectTimeoutMs = Math.min(mostConnectMs, connectShare * timeoutPerTryMs);
  const maxReceiveBytes = deps.budgets.of("ca-response-bytes").size;
  await using channel = createGrpcChannel({ target, authority, keepalive, connectTimeoutMs, maxReceiveBytes }, deps);
  let response: Uint8Array;
  try {
    const options = { metadata, timeoutMs: timeoutPerTryMs, signal };
    response = await channel.unary(createCertificate, encodeRequest(csrPem, ttlMs, config.certSigner), options);
  } catch (error) {
    signal.throwIfAborted();
    const { adviceOnRejection } = await import("../model/token-advice.ts");
    const credential = { token, source: tokenSource(config), nowMs: deps.clock.now() };
    throw failureOf(error, address, (status) => adviceOnRejection(status, spiffeId, credential));
  }
  return splitChain(decodeResponse(response), address);
}

/** The last element is the whole root bundle; the elements before it are the chain. */
function splitChain(elements: readonly string[] | undefined, address: string): SignedChain {
  if (elements === undefined) {
    throw new CaError("malformed-response", address, "its response is not an IstioCertificateResponse");
  }
  if (elements.length < 2) {
    const text = `invalid empty CertChain: ${String(elements.length)} elements, leaf and root are needed`;
    throw new CaError("malformed-response", address, text);
  }
  return { chainPem: joinPem(elements.slice(0, -1)), rootsPem: elements.at(-1) ?? "" };
}

async function targetFor(config: IstioCaConfig, dial: Dial, nowMs: number): Promise<GrpcTarget> {
  const { host, port, security } = config;
  if (security.kind === "plaintext") return { kind: "tcp", host, port, dial };
  try {
    const tlsOptions = await readTlsClientOptions(security, nowMs);
    return { kind: "tls", host, port, dial, tlsOptions: () => tlsOptions };
  } catch (cause) {
    throw new CaError("misconfigured", formatHostPort(config), "no root certificate to verify the server with", {
      cause,
    });
  }
}

/** Where the token comes from, for messages. */
function tokenSource({ cloudToken, tokenPath = "" }: IstioCaConfig): string {
  return cloudToken === undefined ? tokenPath : `the metadata server ${cloudToken.host}`;
}

interface CallCredential {
  readonly metadata: Metadata;
  /** Undefined where none is sent. */
  readonly token: string | undefined;
}

/** Without a usable token the call is made only when a client certificate authenticates it instead. */
async function metadataFor(ca: IstioCa, signal: AbortSignal): Promise<CallCredential> {
  const { config, deps, token: read, tokenOutage } = ca;
  const metadata = { ...config.headers, clusterid: config.clusterId };
  if (read === undefined) return { metadata, token: undefined };
  const token = await read(signal);
  ca.lacksToken = token.kind !== "usable";
  if (token.kind === "usable") {
    tokenOutage.works();
    return { metadata: { ...metadata, authorization: `Bearer ${token.text}` }, token: token.text };
  }
  if (!(await hasClientCertificate(config, deps.clock.now()))) {
    throw new CaError("misconfigured", formatHostPort(config), token.problem, { cause: token.cause });
  }
  const message = "no usable token; calling the CA with the client certificate alone";
  tokenOutage.failed({ level: "warn", message, fields: { problem: token.problem } });
  return { metadata, token: undefined };
}

async function hasClientCertificate({ security }: IstioCaConfig, nowMs: number): Promise<boolean> {
  if (security.kind === "plaintext" || security.client === undefined) return false;
  return (await readTlsClientPair(security.client, nowMs)) !== undefined;
}
