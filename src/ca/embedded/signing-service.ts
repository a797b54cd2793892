// SPDX-License-Identifier: Apache-2.0
import { type KeyObject, randomUUID, X509Certificate } from "node:crypto";
import type { Budget } from "../../lib/budget.ts";
import { AgentError } from "../../lib/errors.ts";
import { GrpcStatus } from "../../lib/grpc/status.ts";
import { isSupportedAlgorithm, parseJwt, signJwt, verifyJwtSignature } from "../../lib/pki/jwt.ts";
import { formatSpiffeId, workloadPath } from "../../model/spiffe-id.ts";
import type { Authority } from "./authority.ts";
import { CsrError, readRequest } from "./certificate-request.ts";
import { issueCertificate } from "./certificates.ts";

export interface SigningPolicy {
  readonly trustDomain: string;
  readonly audience: string;
  /** For requests without a lifetime. */
  readonly defaultTtlMs: number;
  readonly maxTtlMs: number;
  /** How long before now certificates begin, for clocks that are behind. */
  readonly backdateMs: number;
  /** Public or private keys. A token by any of them is accepted. */
  readonly tokenKeys: readonly KeyObject[];
  readonly csrBytes: Budget;
}

export interface AuthenticatedRequest {
  readonly csrPem: string;
  /** 0 or less when the request names no lifetime. */
  readonly ttlMs: number;
  /** The `authorization` metadata. */
  readonly authorization: string | undefined;
  /** DER of the client's certificate, verified by the root of this CA; undefined without one. */
  readonly clientCertificate?: Uint8Array | undefined;
}

export interface IssuedCertificate {
  /** Leaf, then root. */
  readonly chain: readonly string[];
  readonly spiffeId: string;
  readonly serial: string;
  readonly notAfterMs: number;
}

/** A request that is not signed, and the gRPC status of the response. */
export class SigningRejectedError extends AgentError {
  readonly code = "AGENT_SIGNING_REJECTED";
  readonly status: number;
  constructor(status: number, reason: string) {
    super(reason);
    this.status = status;
  }
}

/**
 * Signs a request whose bearer token, or else client certificate, is of the workload that the request names. The trust
 * domain is this CA's, whatever the request names, as with istiod.
 * @throws SigningRejectedError
 * Source: shape of the certificate and of the response as observed with Istio 1.31's CA
 */
export function signRequest(
  authority: Authority,
  policy: SigningPolicy,
  request: AuthenticatedRequest,
  nowMs: number,
): IssuedCertificate {
  const caller = callerOf(policy, request, nowMs);
  const spiffeId = formatSpiffeId({ trustDomain: policy.trustDomain, ...caller });
  const { publicKey, uris, otherNames } = rejectOn(CsrError, GrpcStatus.invalidArgument, () =>
    readRequest(request.csrPem, policy.csrBytes),
  );
  if (otherNames > 0 || uris.length > 1) {
    throw new SigningRejectedError(GrpcStatus.invalidArgument, "the request may name one URI and nothing else");
  }
  if (uris.some((uri) => workloadPath(uri) !== workloadPath(spiffeId))) {
    const reason = `the caller is ${spiffeId}, but the request is for ${String(uris[0])}`;
    throw new SigningRejectedError(GrpcStatus.permissionDenied, reason);
  }
  const ttlMs = Math.min(request.ttlMs > 0 ? request.ttlMs : policy.defaultTtlMs, policy.maxTtlMs);
  const notAfterMs = Math.min(nowMs + ttlMs, authority.rootNotAfterMs);
  if (notAfterMs <= nowMs) throw new SigningRejectedError(GrpcStatus.internal, "the root has expired");
  const leafPem = issueCertificate(authority.issuer, {
    subject: undefined,
    publicKey,
    use: "workload",
    uris: [spiffeId],
    notBeforeMs: nowMs - policy.backdateMs,
    notAfterMs,
  });
  const serial = new X509Certificate(leafPem).serialNumber;
  return { chain: [leafPem, authority.rootPem], spiffeId, serial, notAfterMs };
}

/** As istiod: the caller is the token's account, or the client certificate's when there is no token or a wrong one. */
function callerOf(policy: SigningPolicy, request: AuthenticatedRequest, nowMs: number): ServiceAccount {
  const [, token] = /^Bearer (.+)$/i.exec(request.authorization ?? "") ?? [];
  const certified = accountOf(request.clientCertificate);
  if (token === undefined) {
    if (certified !== undefined) return certified;
    const reason = "there is no bearer token and no client certificate of this CA";
    throw new SigningRejectedError(GrpcStatus.unauthenticated, reason);
  }
  try {
    return verifyToken(token, policy.tokenKeys, policy.audience, nowMs);
  } catch (error) {
    if (!(error instanceof TokenRejectedError)) throw error;
    if (certified !== undefined) return certified;
    throw new SigningRejectedError(GrpcStatus.unauthenticated, error.message);
  }
}

/** The account of a workload certificate; undefined for any other certificate. */
function accountOf(der: Uint8Array | undefined): ServiceAccount | undefined {
  if (der === undefined) return undefined;
  const names = new X509Certificate(der).subjectAltName?.split(", ") ?? [];
  const [, uri] = /^URI:(.*)$/.exec(names.length === 1 ? (names[0] ?? "") : "") ?? [];
  const [, namespace, serviceAccount] = /^\/ns\/([\w.-]+)\/sa\/([\w.-]+)$/.exec(workloadPath(uri ?? "") ?? "") ?? [];
  return namespace === undefined || serviceAccount === undefined ? undefined : { namespace, serviceAccount };
}

function rejectOn<T>(kind: typeof CsrError | typeof TokenRejectedError, status: number, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof kind) throw new SigningRejectedError(status, error.message);
    throw error;
  }
}

/** The service account that a token is for. */
export interface ServiceAccount {
  readonly namespace: string;
  readonly serviceAccount: string;
}

export interface TokenRequest extends ServiceAccount {
  readonly audience: string;
  readonly ttlMs: number;
}

export class TokenRejectedError extends AgentError {
  readonly code = "AGENT_TOKEN_REJECTED";
  constructor(problem: string) {
    super(`check the token: ${problem}`);
  }
}

const tokenIssuer = "attache-development-ca";

/** A token in the form of Kubernetes' service account tokens. @param key EC P-256 */
export function issueToken(key: KeyObject, request: TokenRequest, nowMs: number): string {
  const nowSeconds = Math.floor(nowMs / 1_000);
  return signJwt(key, {
    iss: tokenIssuer,
    sub: `system:serviceaccount:${request.namespace}:${request.serviceAccount}`,
    aud: [request.audience],
    iat: nowSeconds,
    nbf: nowSeconds,
    exp: nowSeconds + Math.floor(request.ttlMs / 1_000),
    jti: randomUUID(),
  });
}

/**
 * Verifies the signature, audience, times and subject of a token.
 * @param keys any of them may have signed: RSA keys with RS256, EC P-256 keys with ES256
 * @throws TokenRejectedError
 */
export function verifyToken(text: string, keys: readonly KeyObject[], audience: string, nowMs: number): ServiceAccount {
  const token = parseJwt(text);
  if (token === undefined) throw new TokenRejectedError("it is not a JWT");
  const { subject, audiences, expiresMs, notBeforeMs } = token.claims;
  if (!isSupportedAlgorithm(token.algorithm)) throw new TokenRejectedError("it must be signed with ES256 or RS256");
  if (!keys.some((key) => verifyJwtSignature(token, key))) {
    throw new TokenRejectedError("its signature is not by a known key");
  }
  if (!audiences.includes(audience)) throw new TokenRejectedError(`its audience is not ${audience}`);
  if (expiresMs === undefined || expiresMs <= nowMs) throw new TokenRejectedError("it has expired");
  if (notBeforeMs !== undefined && notBeforeMs > nowMs + 60_000) throw new TokenRejectedError("it is not valid yet");
  const [, namespace, serviceAccount] = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(subject ?? "") ?? [];
  if (namespace === undefined || serviceAccount === undefined) {
    throw new TokenRejectedError("its subject is not a service account");
  }
  return { namespace, serviceAccount };
}
