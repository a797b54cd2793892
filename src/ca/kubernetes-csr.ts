// SPDX-License-Identifier: Apache-2.0
import { readFile } from "node:fs/promises";
import { deadline } from "../lib/async/clock.ts";
import { formatHostPort } from "../lib/net/host-port.ts";
import type { CaAnswer, CaClient, CaDeps, CaRequest } from "./ca-client.ts";
import type { KubernetesCsrConfig } from "./ca-config.ts";
import { CaError } from "./ca-error.ts";
import { tlsFilesOf, untilFilesChange } from "./changed-files.ts";
import { callHttp, type HttpAnswer, type HttpCall } from "./http-call.ts";
import { asObject, asString, httpFailure, parseJsonObject } from "./http-failure.ts";
import { readToken } from "./token.ts";

const collection = "/apis/certificates.k8s.io/v1/certificatesigningrequests";
/** The API takes no shorter validity. */
const leastSeconds = 600;
const firstLookMs = 250;
const lookFactor = 1.5;
const slowestLookMs = 3_000;

/**
 * A client of the API `certificates.k8s.io/v1`: makes a request object, waits until somebody has approved it and the
 * signer has signed, and deletes it.
 * Source: https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/
 */
export function createKubernetesCsrClient(config: KubernetesCsrConfig, deps: CaDeps): CaClient {
  const files = [config.tokenPath, config.rootsPath, ...tlsFilesOf(config.server.security)];
  return {
    sign: (request, signal) => requestCertificate(config, deps, request, signal),
    untilChanged: (signal) => untilFilesChange(files, deps.clock, signal),
    mayBeAskedTwice: false,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

async function requestCertificate(
  config: KubernetesCsrConfig,
  deps: CaDeps,
  request: CaRequest,
  signal: AbortSignal,
): Promise<CaAnswer> {
  const address = formatHostPort(config.server);
  const rootsPem = await readFile(config.rootsPath, "utf8").catch((cause: unknown) => {
    throw new CaError("misconfigured", address, `the signer's roots ${config.rootsPath} cannot be read`, { cause });
  });
  const api = await createApi(config, deps, signal);
  const name = nameOf(address, await api({ method: "POST", path: collection, body: renderObject(config, request) }));
  try {
    return { chainPem: await untilSigned(api, { config, deps, name, signal }), rootsPem };
  } finally {
    // What stays behind is collected by the server; a failure to delete is nobody's concern.
    if (!signal.aborted) await api({ method: "DELETE", path: `${collection}/${name}` }).catch(() => undefined);
  }
}

type Api = (call: Pick<HttpCall, "method" | "path" | "body">) => Promise<HttpAnswer>;

async function createApi({ server, tokenPath }: KubernetesCsrConfig, deps: CaDeps, signal: AbortSignal): Promise<Api> {
  const token = await readToken(tokenPath, deps.clock.now());
  if (token.kind === "unusable") {
    throw new CaError("misconfigured", formatHostPort(server), token.problem, { cause: token.cause });
  }
  const headers = { authorization: `Bearer ${token.text}` };
  return (call) => callHttp(server, { ...call, headers, timeoutMs: 10_000 }, deps.clock, signal);
}

function renderObject({ signerName }: KubernetesCsrConfig, { csrPem, ttlMs }: CaRequest): object {
  return {
    apiVersion: "certificates.k8s.io/v1",
    kind: "CertificateSigningRequest",
    metadata: { generateName: "attache-" },
    spec: {
      request: Buffer.from(csrPem).toString("base64"),
      signerName,
      usages: ["digital signature", "key encipherment", "server auth", "client auth"],
      expirationSeconds: Math.max(leastSeconds, Math.ceil(ttlMs / 1_000)),
    },
  };
}

function nameOf(address: string, answer: HttpAnswer): string {
  const name = asString(asObject(parseOf(address, answer, 201)["metadata"])?.["name"]);
  if (name === undefined || !/^[a-z0-9.-]+$/.test(name)) {
    throw new CaError("malformed-response", address, "the object made has no name");
  }
  return name;
}

interface Waiting {
  readonly config: KubernetesCsrConfig;
  readonly deps: CaDeps;
  readonly name: string;
  readonly signal: AbortSignal;
}

/** Looks at the object until it is decided. A look misses nothing, as a watch that breaks off could. */
async function untilSigned(api: Api, { config, deps, name, signal }: Waiting): Promise<string> {
  const address = formatHostPort(config.server);
  using limit = deadline(deps.clock, config.timeoutPerTryMs, signal);
  for (let lookMs = firstLookMs; ; lookMs = Math.min(slowestLookMs, lookMs * lookFactor)) {
    const status = asObject(
      parseOf(address, await api({ method: "GET", path: `${collection}/${name}` }), 200)["status"],
    );
    const certificate = asString(status?.["certificate"]);
    if (certificate !== undefined) return Buffer.from(certificate, "base64").toString("utf8");
    const refusal = refusalIn(status);
    if (refusal !== undefined) throw new CaError("refused", address, `the request ${name} was ${refusal}`);
    try {
      await deps.clock.delay(lookMs, limit.signal);
    } catch (cause) {
      signal.throwIfAborted();
      const text = `nobody has approved and signed the request ${name} for ${config.signerName} in time`;
      throw new CaError("unreachable", address, text, { cause });
    }
  }
}

function refusalIn(status: Readonly<Record<string, unknown>> | undefined): string | undefined {
  const conditions = Array.isArray(status?.["conditions"]) ? status["conditions"].map(asObject) : [];
  const bad = conditions.find((one) => one?.["type"] === "Denied" || one?.["type"] === "Failed");
  if (bad === undefined) return undefined;
  const why = asString(bad["message"]) ?? asString(bad["reason"]) ?? "no reason given";
  return `${bad["type"] === "Denied" ? "denied" : "not signed"}: ${why}`;
}

function parseOf(address: string, answer: HttpAnswer, expected: number): Readonly<Record<string, unknown>> {
  const parsed = parseJsonObject(answer.body);
  if (answer.status !== expected) throw httpFailure(address, answer, asString(parsed?.["message"]));
  if (parsed === undefined) throw new CaError("malformed-response", address, "its answer is not JSON");
  return parsed;
}
