// SPDX-License-Identifier: Apache-2.0
import type { CertificateSigner } from "../../src/cert/index.ts";
import type { SignedChain, SigningRequest } from "../../src/model/signing.ts";
import { testSpiffeId } from "./test-authority.ts";

/** A request as the certificate store sends it. */
export function signingRequest(csrPem: string, ttlMs = 3_600_000, more: Partial<SigningRequest> = {}): SigningRequest {
  return { csrPem, ttlMs, spiffeId: testSpiffeId, current: undefined, ...more };
}

/** A check that accepts every response unchanged. */
export const unchecked = (response: SignedChain): SignedChain => response;

/** A signer that responds as told, and has each response checked. */
export function signerOf(
  respond: (request: SigningRequest, signal: AbortSignal) => Promise<SignedChain>,
  more: Partial<CertificateSigner> = {},
): CertificateSigner {
  return { sign: async (request, check, signal) => check(await respond(request, signal)), ...more };
}
