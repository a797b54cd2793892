// SPDX-License-Identifier: Apache-2.0
import { type KeyObject, X509Certificate } from "node:crypto";
import { status } from "@grpc/grpc-js";
import { AgentError } from "../../lib/errors.ts";
import { formatSpiffeId } from "../../model/spiffe-id.ts";
import type { Authority } from "./authority.ts";
import { CsrError, readRequest } from "./csr-reader.ts";
import { issueCertificate } from "./issue.ts";
import { TokenRefusedError, verifyToken } from "./token-issuer.ts";

export interface SigningPolicy {
  readonly trustDomain: string;
  readonly audience: string;
  /** When the request asks for none. */
  readonly defaultTtlMs: number;
  readonly maxTtlMs: number;
  /** How long before now certificates begin, for clocks that are behind. */
  readonly backdateMs: number;
  readonly tokenKeys: readonly KeyObject[];
}

export interface SigningRequest {
  readonly csrPem: string;
  /** 0 or less when not asked for. */
  readonly ttlMs: number;
  /** The `authorization` metadata. */
  readonly authorization: string | undefined;
}

export interface Issued {
  readonly chain: readonly string[];
  readonly spiffeId: string;
  readonly serial: string;
  readonly notAfterMs: number;
}

/** A request that is not signed; the status is what the caller is told. */
export class SigningRefusedError extends AgentError {
  readonly code = "AGENT_SIGNING_REFUSED";
  readonly status: status;
  constructor(status: status, reason: string) {
    super(reason);
    this.status = status;
  }
}

/**
 * Signs a request when its bearer is who the request says.
 * @throws SigningRefusedError
 * Source: shape of the certificate and of the answer as observed with Istio 1.31's CA
 */
export function signRequest(authority: Authority, policy: SigningPolicy, asked: SigningRequest, nowMs: number): Issued {
  const spiffeId = callerOf(policy, asked.authorization, nowMs);
  const request = refuseOn(CsrError, status.INVALID_ARGUMENT, () => readRequest(asked.csrPem));
  if (request.otherNames > 0 || request.uris.length > 1) {
    throw new SigningRefusedError(status.INVALID_ARGUMENT, "the request may name one URI and nothing else");
  }
  if (request.uris.some((uri) => uri !== spiffeId)) {
    const text = `the token is that of ${spiffeId}, but the request asks for ${String(request.uris[0])}`;
    throw new SigningRefusedError(status.PERMISSION_DENIED, text);
  }
  const ttlMs = Math.min(asked.ttlMs > 0 ? asked.ttlMs : policy.defaultTtlMs, policy.maxTtlMs);
  const notAfterMs = Math.min(nowMs + ttlMs, authority.rootNotAfterMs);
  if (notAfterMs <= nowMs) throw new SigningRefusedError(status.INTERNAL, "the root has expired");
  const leafPem = issueCertificate(authority.issuer, {
    subject: undefined,
    publicKey: request.publicKey,
    use: "workload",
    uris: [spiffeId],
    notBeforeMs: nowMs - policy.backdateMs,
    notAfterMs,
  });
  const serial = new X509Certificate(leafPem).serialNumber;
  return { chain: [leafPem, authority.rootPem], spiffeId, serial, notAfterMs };
}

function callerOf(policy: SigningPolicy, authorization: string | undefined, nowMs: number): string {
  const [, token] = /^Bearer (.+)$/i.exec(authorization ?? "") ?? [];
  if (token === undefined) throw new SigningRefusedError(status.UNAUTHENTICATED, "there is no bearer token");
  const subject = refuseOn(TokenRefusedError, status.UNAUTHENTICATED, () =>
    verifyToken(token, policy.tokenKeys, policy.audience, nowMs),
  );
  return formatSpiffeId({ trustDomain: policy.trustDomain, ...subject });
}

function refuseOn<T>(kind: typeof CsrError | typeof TokenRefusedError, code: status, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof kind) throw new SigningRefusedError(code, error.message);
    throw error;
  }
}
