// SPDX-License-Identifier: Apache-2.0
import { createPrivateKey, type KeyObject, randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { formatHostPort } from "../lib/net/host-port.ts";
import { signJwt } from "../lib/pki/jwt.ts";
import type { CaAnswer, CaClient, CaDeps, CaRequest } from "./ca-client.ts";
import type { StepCaConfig } from "./ca-config.ts";
import { CaError } from "./ca-error.ts";
import { tlsFilesOf, untilFilesChange } from "./changed-files.ts";
import { callHttp, type HttpAnswer } from "./http-call.ts";
import { asString, asStrings, httpFailure, parseJsonObject } from "./http-failure.ts";
import { readToken } from "./token.ts";

const tokenLifeSeconds = 5 * 60;

/**
 * A client of step-ca. The first certificate is signed for a token; later ones by `rekey`, for which the certificate in
 * use vouches, and by a token again where that is refused.
 * Source: https://smallstep.com/docs/step-ca/ and the API of step-ca's `api` package: sign, rekey, roots
 */
export function createStepClient(config: StepCaConfig, deps: CaDeps): CaClient {
  const files = [
    config.auth.kind === "jwk" ? config.auth.keyPath : config.auth.tokenPath,
    ...tlsFilesOf(config.server.security),
  ];
  return {
    sign: (request, signal) => signOrRekey(config, deps, request, signal),
    untilChanged: (signal) => untilFilesChange(files, deps.clock, signal),
    mayBeAskedTwice: false,
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

async function signOrRekey(
  config: StepCaConfig,
  deps: CaDeps,
  request: CaRequest,
  signal: AbortSignal,
): Promise<CaAnswer> {
  const rekeyed = await rekey(config, deps, request, signal);
  const answer = rekeyed ?? (await signByToken(config, deps, request, signal));
  const [chain, roots] = [parseChain(config, answer), await readRoots(config, deps, signal)];
  return { chainPem: chain.join("\n"), rootsPem: roots.join("\n") };
}

/** @returns undefined when there is nothing to renew by, or when the CA does not take it */
async function rekey(
  { server, timeoutPerTryMs: timeoutMs }: StepCaConfig,
  deps: CaDeps,
  { current, csrPem }: CaRequest,
  signal: AbortSignal,
): Promise<HttpAnswer | undefined> {
  if (current === undefined || server.security.kind === "plaintext") return undefined;
  const clientPair = { cert: current.chainPem, key: current.keyPem };
  const call = { method: "POST", path: "/1.0/rekey", body: { csr: csrPem }, timeoutMs, clientPair } as const;
  const answer = await callHttp(server, call, deps.clock, signal);
  if (answer.status === 201) return answer;
  deps.log.info("renewal by the certificate in use was refused; asking with a token", { status: answer.status });
  return undefined;
}

async function signByToken(
  config: StepCaConfig,
  deps: CaDeps,
  { csrPem, spiffeId, ttlMs }: CaRequest,
  signal: AbortSignal,
): Promise<HttpAnswer> {
  const { server, timeoutPerTryMs: timeoutMs } = config;
  const ott = await tokenFor(config, deps, spiffeId);
  const body = { csr: csrPem, ott, notAfter: `${String(Math.ceil(ttlMs / 1_000))}s` };
  return callHttp(server, { method: "POST", path: "/1.0/sign", body, timeoutMs }, deps.clock, signal);
}

/** A new one for each try: the CA takes a token of a JWK provisioner once. */
async function tokenFor({ auth, server }: StepCaConfig, deps: CaDeps, spiffeId: string): Promise<string> {
  const address = formatHostPort(server);
  if (auth.kind === "kubernetes") {
    const token = await readToken(auth.tokenPath, deps.clock.now());
    if (token.kind === "usable") return token.text;
    throw new CaError("misconfigured", address, token.problem, { cause: token.cause });
  }
  let key: KeyObject;
  try {
    key = createPrivateKey(await readFile(auth.keyPath, "utf8"));
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
    exp: nowSeconds + tokenLifeSeconds,
  };
  return signJwt(key, claims, { kid: auth.keyId });
}

function parseChain({ server }: StepCaConfig, answer: HttpAnswer): readonly string[] {
  const address = formatHostPort(server);
  const body = parseJsonObject(answer.body);
  if (answer.status !== 201) throw httpFailure(address, answer, asString(body?.["message"]));
  const chain = asStrings(body?.["certChain"]);
  if (chain.length > 0) return chain;
  const pair = [body?.["crt"], body?.["ca"]].filter((pem) => typeof pem === "string");
  if (pair.length === 0) throw new CaError("malformed-response", address, "there is no certificate in its answer");
  return pair;
}

async function readRoots(config: StepCaConfig, deps: CaDeps, signal: AbortSignal): Promise<readonly string[]> {
  const { server, timeoutPerTryMs: timeoutMs } = config;
  const answer = await callHttp(server, { method: "GET", path: "/1.0/roots", timeoutMs }, deps.clock, signal);
  const body = parseJsonObject(answer.body);
  // The status is 201 in all versions seen; 200 would be no surprise.
  if (answer.status !== 200 && answer.status !== 201) {
    throw httpFailure(formatHostPort(server), answer, asString(body?.["message"]));
  }
  const roots = asStrings(body?.["crts"]);
  if (roots.length > 0) return roots;
  throw new CaError("malformed-response", formatHostPort(server), "there are no roots in its answer");
}
