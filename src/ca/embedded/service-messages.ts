// SPDX-License-Identifier: Apache-2.0
import { IstioCertificateRequest, IstioCertificateResponse } from "../../gen/istio/v1/auth/ca.ts";

/** What of an `IstioCertificateRequest` a CA looks at. */
export interface CertificateRequest {
  readonly csrPem: string;
  readonly ttlMs: number;
}

/** @throws Error when the bytes are not such a message */
export function parseCertificateRequest(bytes: Uint8Array): CertificateRequest {
  const { csr, validityDuration } = IstioCertificateRequest.decode(bytes);
  return { csrPem: csr, ttlMs: validityDuration * 1_000 };
}

/** An `IstioCertificateResponse`. */
export function renderCertificateResponse(chain: readonly string[]): Uint8Array {
  return IstioCertificateResponse.encode({ certChain: [...chain] }).finish();
}
