// SPDX-License-Identifier: Apache-2.0
import { RetryInfo } from "../gen/google/rpc/error_details.ts";
import { Status } from "../gen/google/rpc/status.ts";
import { IstioCertificateRequest, IstioCertificateResponse } from "../gen/istio/v1/auth/ca.ts";

/** A request to sign, with the validity in whole seconds. */
export function encodeRequest(csrPem: string, ttlMs: number, certSigner: string): Uint8Array {
  return IstioCertificateRequest.encode({
    csr: csrPem,
    validityDuration: Math.ceil(ttlMs / 1_000),
    metadata: { CertSigner: certSigner },
  }).finish();
}

/** @returns the response's `cert_chain`; undefined when the bytes are not such a message */
export function decodeChain(bytes: Uint8Array): readonly string[] | undefined {
  try {
    return IstioCertificateResponse.decode(bytes).certChain;
  } catch {
    return undefined;
  }
}

/** @returns the delay of a `google.rpc.RetryInfo` within a serialised `google.rpc.Status`; 0 when there is none */
export function decodeRetryDelayMs(status: Uint8Array): number {
  try {
    for (const { typeUrl, value } of Status.decode(status).details) {
      if (!typeUrl.endsWith("/google.rpc.RetryInfo")) continue;
      const { retryDelay } = RetryInfo.decode(value);
      if (retryDelay !== undefined) return Math.max(0, retryDelay.seconds * 1_000 + retryDelay.nanos / 1e6);
    }
  } catch {
    return 0;
  }
  return 0;
}
