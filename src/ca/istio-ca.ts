// SPDX-License-Identifier: Apache-2.0
import type { GrpcTarget } from "../lib/grpc/client.ts";
import type { Metadata } from "../lib/grpc/metadata.ts";
import { readTlsClientOptions, readTlsClientPair } from "../lib/net/tls-client.ts";
import { joinPem } from "../lib/pki/pem.ts";
import { formatHostPort } from "../lib/net/host-port.ts";
import type { CaAnswer, CaClient, CaDeps, CaRequest } from "./ca-client.ts";
import type { IstioCaConfig } from "./ca-config.ts";
import { CaError } from "./ca-error.ts";
import { tlsFilesOf, untilFilesChange } from "./changed-files.ts";
import { createCloudToken } from "./cloud-token.ts";
import { untilReachable } from "./reachable.ts";
import { readToken, type Token } from "./token.ts";

const createCertificate = "/istio.v1.auth.IstioCertificateService/CreateCertificate";

/**
 * A client of Istio's certificate service, as istiod, istio-csr and the embedded CA serve it. Each try is made over a
 * connection of its own: hours lie between two, and files replaced since the last one count.
 * Source: the service's messages and metadata as observed with Istio 1.31
 */
export function createIstioCaClient(config: IstioCaConfig, deps: CaDeps): CaClient {
  const { tokenPath } = config;
  const readFileToken = tokenPath === undefined ? undefined : () => readToken(tokenPath, deps.clock.now());
  const token = config.cloudToken === undefined ? readFileToken : createCloudToken(config.cloudToken, deps);
  return {
    sign: (request, signal) => signOnce({ config, deps, token }, request, signal),
    untilChanged: (signal) => untilFilesChange(filesOf(config), deps.clock, signal),
    untilReachable: (signal) => untilReachable(config, deps.clock, signal),
    mayBeAskedTwice: true,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** The files that decide whether a call can succeed. */
function filesOf({ tokenPath, security }: IstioCaConfig): readonly string[] {
  return [tokenPath, ...tlsFilesOf(security)].filter((path) => path !== undefined);
}

interface Istio {
  readonly config: IstioCaConfig;
  readonly deps: CaDeps;
  /** Undefined when no token is sent. */
  readonly token: ((signal: AbortSignal) => Promise<Token>) | undefined;
}

async function signOnce(istio: Istio, request: CaRequest, signal: AbortSignal): Promise<CaAnswer> {
  const { config, deps } = istio;
  const address = formatHostPort(config);
  const metadata = await metadataFor(istio, signal);
  const target = await targetFor(config, deps.clock.now());
  const [{ createGrpcChannel }, { failureOf }, messages] = await Promise.all([
    import("../lib/grpc/client.ts"),
    import("./grpc-failure.ts"),
    import("./istio-messages.ts"),
  ]);
  const authority = config.security.kind === "tls" ? config.security.serverName : address;
  const { keepalive } = config;
  await using channel = createGrpcChannel({ target, authority, keepalive, connectTimeoutMs: 5_000 }, deps);
  const message = messages.encodeRequest(request.csrPem, request.ttlMs, config.certSigner);
  let answer: Uint8Array;
  try {
    const options = { metadata, timeoutMs: config.timeoutPerTryMs, signal };
    answer = await channel.unary(createCertificate, message, options);
  } catch (error) {
    signal.throwIfAborted();
    throw failureOf(error, address);
  }
  return splitAnswer(messages.decodeChain(answer), address);
}

/** The last element is the whole root bundle; what comes before it is the chain. */
function splitAnswer(elements: readonly string[] | undefined, address: string): CaAnswer {
  if (elements === undefined)
    throw new CaError("malformed-response", address, "its answer is not a certificate response");
  if (elements.length < 2) {
    const count = String(elements.length);
    throw new CaError(
      "malformed-response",
      address,
      `invalid empty CertChain: ${count} elements, leaf and root are needed`,
    );
  }
  return { chainPem: joinPem(elements.slice(0, -1)), rootsPem: elements.at(-1) ?? "" };
}

async function targetFor(config: IstioCaConfig, nowMs: number): Promise<GrpcTarget> {
  const { host, port, security } = config;
  if (security.kind === "plaintext") return { kind: "tcp", host, port };
  try {
    const tlsOptions = await readTlsClientOptions(security, nowMs);
    return { kind: "tls", host, port, tlsOptions: () => tlsOptions };
  } catch (cause) {
    throw new CaError("misconfigured", formatHostPort(config), "there is no root to verify it by", { cause });
  }
}

/** Without a usable token the call is made only when there is a client certificate to vouch for us instead. */
async function metadataFor({ config, deps, token: read }: Istio, signal: AbortSignal): Promise<Metadata> {
  const metadata = { ...config.headers, clusterid: config.clusterId };
  if (read === undefined) return metadata;
  const token = await read(signal);
  if (token.kind === "usable") return { ...metadata, authorization: `Bearer ${token.text}` };
  if (!(await hasClientCertificate(config, deps.clock.now()))) {
    throw new CaError("misconfigured", formatHostPort(config), token.problem, { cause: token.cause });
  }
  deps.log.warn("no usable token; the CA is called with the client certificate alone", { problem: token.problem });
  return metadata;
}

async function hasClientCertificate({ security }: IstioCaConfig, nowMs: number): Promise<boolean> {
  if (security.kind === "plaintext" || security.client === undefined) return false;
  return (await readTlsClientPair(security.client, nowMs)) !== undefined;
}
