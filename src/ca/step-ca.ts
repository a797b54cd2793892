// SPDX-License-Identifier: Apache-2.0
import { createPrivateKey, type KeyObject, randomUUID } from "node:crypto";
import { describeError, systemCode } from "../lib/errors.ts";
import { readTextFile } from "../lib/fs/bounded-read.ts";
import { parseJsonObject, textsOf } from "../lib/json.ts";
import { OutageLog } from "../lib/log/outage-log.ts";
import { formatHostPort } from "../lib/net/host-port.ts";
import { TlsError } from "../lib/net/tls-error.ts";
import { signJwt } from "../lib/pki/jwt.ts";
import type { SignedChain, SigningRequest } from "../model/signing.ts";
import { readToken } from "./bearer-token.ts";
import { CaError } from "./ca-error.ts";
import { asString, callHttp, type CaHttpResponse, httpFailure } from "./http-call.ts";
import { tlsFilesOf, untilReachable } from "./retry-causes.ts";
import type { CaDeps, CaProtocol, StepCaConfig } from "./types.ts";

const tokenValiditySeconds = 5 * 60;
const connectionEndCodes: ReadonlySet<string> = new Set(["EPROTO", "ECONNRESET", "EPIPE"]);

/**
 * step-ca. The first certificate is signed with a token. Later ones are renewed with `rekey`, authenticated by the
 * certificate in use; when the CA rejects that certificate, with a token again.
 * Source: https://smallstep.com/docs/step-ca/ and the API of step-ca's `api` package: sign, rekey, roots
 */
export function createStepCa(config: StepCaConfig, deps: CaDeps): CaProtocol {
  const files = [
    config.auth.kind === "jwk" ? config.auth.keyPath : config.auth.tokenPath,
    ...tlsFilesOf(config.server.security),
  ];
  const rejections = new OutageLog(deps.log, deps.clock);
  return {
    sign: (request, signal) => signOrRekey(config, { ...deps, rejections }, request, signal),
    causeFiles: files,
    untilReachable: (signal) => untilReachable(config.server, deps.clock, signal),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

interface StepCaDeps extends CaDeps {
  /** Of the certificate in use. */
  readonly rejections: OutageLog;
}

async function signOrRekey(
  config: StepCaConfig,
  deps: StepCaDeps,
  request: SigningRequest,
  signal: AbortSignal,
): Promise<SignedChain> {
  const response = (await rekey(config, deps, request, signal)) ?? (await signByToken(config, deps, request, signal));
  const chain = parseChain(config, response);
  const roots = await readRoots(config, deps, signal);
  return { chainPem: chain.join("\n"), rootsPem: roots.join("\n") };
}

/** @returns undefined when there is no certificate to renew with, or when the CA rejects it */
async function rekey(
  { server, timeoutPerTryMs: timeoutMs }: StepCaConfig,
  deps: StepCaDeps,
  { current, csrPem }: SigningRequest,
  signal: AbortSignal,
): Promise<CaHttpResponse | undefined> {
  if (current === undefined || server.security.kind === "plaintext") return undefined;
  const clientPair = { cert: current.chainPem, key: current.keyPem };
  const call = { method: "POST", path: "/1.0/rekey", body: { csr: csrPem }, timeoutMs, clientPair } as const;
  let rejection: string;
  try {
    const response = await callHttp(server, call, deps, signal);
    if (response.status === 201) {
      deps.rejections.works();
      return response;
    }
    rejection = `status ${String(response.status)}`;
  } catch (error) {
    if (!isTlsRejection(error)) throw error;
    rejection = describeError(error);
  }
  const message = "CA rejected the certificate in use; requesting with a token";
  deps.rejections.failed({ level: "info", message, fields: { rejection } });
  return undefined;
}

/**
 * Whether the CA ended the TLS connection because of the client certificate: by an alert, which a write reports as
 * EPROTO, or by closing the connection. If the reason was another one, the call with a token does no harm.
 * Source: observed with OpenSSL 3 as the server, TLS 1.2 and 1.3
 */
export function isTlsRejection(error: unknown): boolean {
  for (let cause = error; cause instanceof Error; cause = cause.cause) {
    const code = (cause instanceof TlsError ? cause.systemCode : systemCode(cause)) ?? "";
    if (code.startsWith("ERR_SSL_") || connectionEndCodes.has(code)) return true;
  }
  return false;
}

async function signByToken(
  config: StepCaConfig,
  deps: CaDeps,
  { csrPem, spiffeId, ttlMs }: SigningRequest,
  signal: AbortSignal,
): Promise<CaHttpResponse> {
  const { server, timeoutPerTryMs: timeoutMs } = config;
  const ott = await tokenFor(config, deps, spiffeId);
  const body = { csr: csrPem, ott, notAfter: `${String(Math.ceil(ttlMs / 1_000))}s` };
  return callHttp(server, { method: "POST", path: "/1.0/sign", body, timeoutMs }, deps, signal);
}

/** A new token for each attempt: the CA accepts one of a JWK provisioner only once. */
async function tokenFor({ auth, server }: StepCaConfig, deps: CaDeps, spiffeId: string): Promise<string> {
  const address = formatHostPort(server);
  if (auth.kind === "kubernetes") {
    const token = await readToken(auth.tokenPath, deps.clock.now());
    if (token.kind === "usable") return token.text;
    throw new CaError("misconfigured", address, token.problem, { cause: token.cause });
  }
  let key: KeyObject;
  try {
    key = createPrivateKey(await readTextFile(auth.keyPath));
  } catch (cause) {
    throw new CaError("misconfigured", address, `the provisioner's key ${auth.keyPath} cannot be read`, { cause });
  }
  const nowSeconds = Math.floor(deps.clock.now() / 1_000);
  const claims = {
    iss: auth.provisioner,
    aud: `https://${address}/1.0/sign`,
    sub: spiffeId,
    sans: [spiffeId],
    jti: randomUUID(),
    iat: nowSeconds,
    nbf: nowSeconds,
    exp: nowSeconds + tokenValiditySeconds,
  };
  return signJwt(key, claims, { kid: auth.keyId });
}

function parseChain({ server }: StepCaConfig, response: CaHttpResponse): readonly string[] {
  const address = formatHostPort(server);
  const body = parseJsonObject(response.body);
  if (response.status !== 201) throw httpFailure(address, response, asString(body?.["message"]));
  const chain = textsOf(body?.["certChain"]);
  if (chain.length > 0) return chain;
  const pair = [body?.["crt"], body?.["ca"]].filter((pem) => typeof pem === "string");
  if (pair.length === 0) throw new CaError("malformed-response", address, "its response has no certificate");
  return pair;
}

async function readRoots(config: StepCaConfig, deps: CaDeps, signal: AbortSignal): Promise<readonly string[]> {
  const { server, timeoutPerTryMs: timeoutMs } = config;
  const response = await callHttp(server, { method: "GET", path: "/1.0/roots", timeoutMs }, deps, signal);
  const body = parseJsonObject(response.body);
  // All versions seen return 201, which is unusual for GET.
  if (response.status !== 200 && response.status !== 201) {
    throw httpFailure(formatHostPort(server), response, asString(body?.["message"]));
  }
  const roots = textsOf(body?.["crts"]);
  if (roots.length > 0) return roots;
  throw new CaError("malformed-response", formatHostPort(server), "its response has no roots");
}
