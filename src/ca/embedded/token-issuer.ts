// SPDX-License-Identifier: Apache-2.0
import { type KeyObject, randomUUID } from "node:crypto";
import { AgentError } from "../../lib/errors.ts";
import { isSupportedAlgorithm, parseJwt, signJwt, verifyJwtSignature } from "../../lib/pki/jwt.ts";

/** Whom a token is for. */
export interface TokenRequest {
  readonly namespace: string;
  readonly serviceAccount: string;
  readonly audience: string;
  readonly ttlMs: number;
}

/** Who a verified token says its bearer is. */
export interface TokenSubject {
  readonly namespace: string;
  readonly serviceAccount: string;
}

export class TokenRefusedError extends AgentError {
  readonly code = "AGENT_TOKEN_REFUSED";
  constructor(problem: string) {
    super(`check the token: ${problem}`);
  }
}

const issuer = "attache-development-ca";

/** A token in the form of Kubernetes' service-account tokens, signed by an EC P-256 key. Source: RFC 7518 section 3.4 */
export function issueToken(key: KeyObject, request: TokenRequest, nowMs: number): string {
  const nowSeconds = Math.floor(nowMs / 1_000);
  const claims = {
    iss: issuer,
    sub: `system:serviceaccount:${request.namespace}:${request.serviceAccount}`,
    aud: [request.audience],
    iat: nowSeconds,
    nbf: nowSeconds,
    exp: nowSeconds + Math.floor(request.ttlMs / 1_000),
    jti: randomUUID(),
  };
  return signJwt(key, claims);
}

/**
 * Verifies a token's signature, audience, times and subject.
 * @param keys public or private keys; any of them may have signed. RSA keys are for RS256, EC P-256 keys for ES256
 * @throws TokenRefusedError
 */
export function verifyToken(text: string, keys: readonly KeyObject[], audience: string, nowMs: number): TokenSubject {
  const token = parseJwt(text);
  if (token === undefined) throw new TokenRefusedError("it is not a JWT");
  const { claims } = token;
  if (!isSupportedAlgorithm(token.algorithm)) throw new TokenRefusedError("it must be signed by ES256 or RS256");
  const signedByUs = keys.some((key) => verifyJwtSignature(token, key));
  if (!signedByUs) throw new TokenRefusedError("its signature is by nobody known here");
  if (!claims.audiences.includes(audience)) throw new TokenRefusedError(`its audience is not ${audience}`);
  if (claims.expiresMs === undefined || claims.expiresMs <= nowMs) throw new TokenRefusedError("it has expired");
  if (claims.notBeforeMs !== undefined && claims.notBeforeMs > nowMs + 60_000) {
    throw new TokenRefusedError("it is not valid yet");
  }
  const [, namespace, serviceAccount] = /^system:serviceaccount:([^:]+):([^:]+)$/.exec(claims.subject ?? "") ?? [];
  if (namespace === undefined || serviceAccount === undefined) {
    throw new TokenRefusedError("its subject is not a service account");
  }
  return { namespace, serviceAccount };
}
