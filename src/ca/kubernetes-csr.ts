// SPDX-License-Identifier: Apache-2.0
import { deadline } from "../lib/async/clock.ts";
import { readTextFile } from "../lib/fs/bounded-read.ts";
import { type JsonObject, listOf, objectOf, parseJsonObject } from "../lib/json.ts";
import { formatHostPort } from "../lib/net/host-port.ts";
import { shortenPeerText } from "../lib/printable-text.ts";
import type { SignedChain, SigningRequest } from "../model/signing.ts";
import { readToken } from "./bearer-token.ts";
import { CaError } from "./ca-error.ts";
import { asString, callHttp, type CaHttpResponse, type HttpCall, httpFailure } from "./http-call.ts";
import { tlsFilesOf, untilReachable } from "./retry-causes.ts";
import type { CaDeps, CaProtocol, KubernetesCsrConfig } from "./types.ts";

const collection = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
/** The API accepts no shorter validity. */
const minValiditySeconds = 600;
const firstPollMs = 250;
const pollFactor = 1.5;
const maxPollMs = 3_000;
const callTimeoutMs = 10_000;

/**
 * The API `certificates.k8s.io/v1`: creates a request object, waits until it is approved and signed, and deletes it.
 * Source: https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/
 */
export function createKubernetesCsr(config: KubernetesCsrConfig, deps: CaDeps): CaProtocol {
  const files = [config.tokenPath, config.rootsPath, ...tlsFilesOf(config.server.security)];
  return {
    sign: (request, signal) => requestCertificate(config, deps, request, signal),
    causeFiles: files,
    untilReachable: (signal) => untilReachable(config.server, deps.clock, signal),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

async function requestCertificate(
  config: KubernetesCsrConfig,
  deps: CaDeps,
  request: SigningRequest,
  signal: AbortSignal,
): Promise<SignedChain> {
  const address = formatHostPort(config.server);
  const rootsPem = await readTextFile(config.rootsPath).catch((cause: unknown) => {
    throw new CaError("misconfigured", address, `the signer's roots ${config.rootsPath} cannot be read`, { cause });
  });
  const api = await createApi(config, deps, signal);
  const name = nameOf(address, await api({ method: "POST", path: collection, body: renderObject(config, request) }));
  try {
    return { chainPem: await untilSigned(api, { config, deps, name, signal }), rootsPem };
  } finally {
    // The server removes old requests itself, so a failure to delete is ignored.
    if (!signal.aborted) await api({ method: "DELETE", path: `${collection}/${name}` }).catch(() => undefined);
  }
}

type Api = (call: Pick<HttpCall, "method" | "path" | "body">) => Promise<CaHttpResponse>;

async function createApi({ server, tokenPath }: KubernetesCsrConfig, deps: CaDeps, signal: AbortSignal): Promise<Api> {
  const token = await readToken(tokenPath, deps.clock.now());
  if (token.kind === "unusable") {
    throw new CaError("misconfigured", formatHostPort(server), token.problem, { cause: token.cause });
  }
  const headers = { authorization: `Bearer ${token.text}` };
  return (call) => callHttp(server, { ...call, headers, timeoutMs: callTimeoutMs }, deps, signal);
}

function renderObject({ signerName }: KubernetesCsrConfig, { csrPem, ttlMs }: SigningRequest): object {
  return {
    apiVersion: "certificates.k8s.io/v1",
    kind: "CertificateSigningRequest",
    metadata: { generateName: "attache-" },
    spec: {
      request: Buffer.from(csrPem).toString("base64"),
      signerName,
      usages: ["digital signature", "key encipherment", "server auth", "client auth"],
      expirationSeconds: Math.max(minValiditySeconds, Math.ceil(ttlMs / 1_000)),
    },
  };
}

function nameOf(address: string, response: CaHttpResponse): string {
  const name = asString(objectOf(parseOf(address, response, 201)["metadata"])["name"]);
  if (name === undefined || !/^[a-z0-9][a-z0-9.-]{0,252}$/.test(name)) {
    throw new CaError("malformed-response", address, "the created object has no name");
  }
  return name;
}

interface PendingRequest {
  readonly config: KubernetesCsrConfig;
  readonly deps: CaDeps;
  readonly name: string;
  readonly signal: AbortSignal;
}

/** Polls the object until it is decided. Unlike a watch, polling misses nothing when a connection breaks. */
async function untilSigned(api: Api, { config, deps, name, signal }: PendingRequest): Promise<string> {
  const address = formatHostPort(config.server);
  using limit = deadline(deps.clock, config.timeoutPerTryMs, signal);
  for (let pollMs = firstPollMs; ; pollMs = Math.min(maxPollMs, pollMs * pollFactor)) {
    const response = await api({ method: "GET", path: `${collection}/${name}` });
    const status = objectOf(parseOf(address, response, 200)["status"]);
    const certificate = asString(status["certificate"]);
    if (certificate !== undefined) return Buffer.from(certificate, "base64").toString("utf8");
    const rejection = rejectionIn(status);
    if (rejection !== undefined)
      throw new CaError("refused", address, `the request ${name} was ${shortenPeerText(rejection)}`);
    try {
      await deps.clock.delay(pollMs, limit.signal);
    } catch (cause) {
      signal.throwIfAborted();
      const text = `the request ${name} for ${config.signerName} was not approved and signed in time`;
      throw new CaError("unreachable", address, text, { cause });
    }
  }
}

function rejectionIn(status: JsonObject): string | undefined {
  const conditions = listOf(status["conditions"]).map(objectOf);
  const bad = conditions.find((one) => one["type"] === "Denied" || one["type"] === "Failed");
  if (bad === undefined) return undefined;
  const why = asString(bad["message"]) ?? asString(bad["reason"]) ?? "no reason given";
  return `${bad["type"] === "Denied" ? "denied" : "not signed"}: ${why}`;
}

function parseOf(address: string, response: CaHttpResponse, expected: number): JsonObject {
  const parsed = parseJsonObject(response.body);
  if (response.status !== expected) throw httpFailure(address, response, asString(parsed?.["message"]));
  if (parsed === undefined) throw new CaError("malformed-response", address, "its response is not JSON");
  return parsed;
}
