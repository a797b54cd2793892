// SPDX-License-Identifier: Apache-2.0
import { createPublicKey, generateKeyPairSync } from "node:crypto";
import { IstioCertificateRequest, IstioCertificateResponse } from "../../gen/istio/v1/auth/ca.ts";
import { describeError } from "../../lib/errors.ts";
import { listenGrpcJs, type ListeningServer, type UnaryRequest } from "../../lib/grpc/grpc-js-server.ts";
import { GrpcError, GrpcStatus, grpcStatusName } from "../../lib/grpc/status.ts";
import { formatHostPort } from "../../lib/net/host-port.ts";
import { ipFamily, isLoopbackHost } from "../../lib/net/ip-address.ts";
import type { CaDeps } from "../types.ts";
import { type Authority, AuthorityError, openAuthority } from "./authority.ts";
import { issueCertificate } from "./certificates.ts";
import { issueToken, type SigningPolicy, SigningRejectedError, signRequest } from "./signing-service.ts";
import type { EmbeddedCa, EmbeddedCaOptions } from "./types.ts";

const serverCertificateLifeMs = 365 * 24 * 3_600_000;
/** As for the root: the clock may be set back while the CA runs. */
const serverBackdateMs = 300 * 24 * 3_600_000;
const createCertificate = "/istio.v1.auth.IstioCertificateService/CreateCertificate";

/**
 * Serves Istio's certificate service over TLS, and issues the tokens that it accepts. See `EmbeddedCaOptions`.
 * @throws AuthorityError when its directory or its port cannot be used
 */
export async function serveEmbeddedCa(options: EmbeddedCaOptions, deps: CaDeps): Promise<EmbeddedCa> {
  const log = deps.log.scope("ca");
  const authority = openAuthority(options.directory, deps.clock.now());
  const tokenKeys = [authority.tokenKey, ...options.trustedTokenKeysPem.map((pem) => createPublicKey(pem))];
  const csrBytes = deps.budgets.of("embedded-ca-csr-bytes");
  const handle = signWith(authority, () => ({ ...options, tokenKeys, csrBytes }), { ...deps, log });
  const server = await listen(options, authority, handle, deps);
  const { host, directory } = options;
  const { port } = server;
  log.info("embedded CA listening", { address: formatHostPort({ host, port }), directory });
  if (!isLoopbackHost(host))
    log.warn("embedded CA is reachable from other machines, but is for development only", { host });
  return {
    host,
    port,
    rootPem: authority.rootPem,
    issueToken: (request) =>
      issueToken(authority.tokenKey, { audience: options.audience, ...request }, deps.clock.now()),
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

/** @param policy read at each request: its limits may change while the CA runs */
function signWith(authority: Authority, policy: () => SigningPolicy, { log, clock }: CaDeps) {
  return (request: UnaryRequest): Uint8Array => {
    try {
      const { csr, validityDuration } = IstioCertificateRequest.decode(request.bytes);
      const authorization = request.metadata("authorization");
      const { clientCertificate } = request;
      const signing = { csrPem: csr, ttlMs: validityDuration * 1_000, authorization, clientCertificate };
      const { chain, spiffeId, serial, notAfterMs } = signRequest(authority, policy(), signing, clock.now());
      log.info("certificate signed", { spiffeId, serial, notAfter: new Date(notAfterMs).toISOString() });
      return IstioCertificateResponse.encode({ certChain: [...chain] }).finish();
    } catch (error) {
      const status = error instanceof SigningRejectedError ? error.status : GrpcStatus.internal;
      const detail = describeError(error);
      log.warn("certificate request rejected", { status: grpcStatusName(status), error: detail });
      throw new GrpcError(status, detail);
    }
  };
}

async function listen(
  options: EmbeddedCaOptions,
  authority: Authority,
  handle: (request: UnaryRequest) => Uint8Array,
  { clock, budgets }: CaDeps,
): Promise<ListeningServer> {
  const { host, port } = options;
  const limits = {
    connections: budgets.of("embedded-ca-connections"),
    calls: budgets.of("embedded-ca-calls-of-connection"),
    requestBytes: budgets.of("embedded-ca-request-bytes"),
  };
  try {
    const tls = { ...issueServerCertificate(options, authority, clock.now()), clientRootPem: authority.rootPem };
    const methods = { [createCertificate]: { kind: "unary", handle } } as const;
    return await listenGrpcJs({ host, port, tls, methods, limits });
  } catch (error) {
    throw new AuthorityError(options.directory, `cannot listen on ${formatHostPort(options)}`, error);
  }
}

function issueServerCertificate({ host, serverNames }: EmbeddedCaOptions, authority: Authority, nowMs: number) {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const fixed = ["localhost", "istiod.istio-system.svc", "127.0.0.1", "::1"];
  const names = [...new Set([...fixed, host, ...serverNames])];
  const chainPem = issueCertificate(authority.issuer, {
    subject: "attache development CA server",
    publicKey,
    use: "server",
    dnsNames: names.filter((name) => ipFamily(name) === 0),
    ips: names.filter((name) => ipFamily(name) !== 0),
    notBeforeMs: nowMs - serverBackdateMs,
    notAfterMs: Math.min(nowMs + serverCertificateLifeMs, authority.rootNotAfterMs),
  });
  return { keyPem: privateKey.export({ type: "pkcs8", format: "pem" }), chainPem };
}
