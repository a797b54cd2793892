// SPDX-License-Identifier: Apache-2.0
import { RetryInfo } from "../gen/google/rpc/error_details.ts";
import { Status } from "../gen/google/rpc/status.ts";
import { IstioCertificateRequest, IstioCertificateResponse } from "../gen/istio/v1/auth/ca.ts";
import { DeadlineError } from "../lib/async/clock.ts";
import { describeError, systemCode } from "../lib/errors.ts";
import { GrpcError, GrpcStatus, grpcStatusName } from "../lib/grpc/status.ts";
import { tlsErrorIn } from "../lib/net/tls-error.ts";
import { CaError, isConnectCode, isNameCode, maxRetryAfterMs } from "./ca-error.ts";

/** The request; the validity is in whole seconds. */
export function encodeRequest(csrPem: string, ttlMs: number, certSigner: string): Uint8Array {
  return IstioCertificateRequest.encode({
    csr: csrPem,
    validityDuration: Math.ceil(ttlMs / 1_000),
    metadata: { CertSigner: certSigner },
  }).finish();
}

/** @returns the response's `cert_chain`; undefined when the bytes are not such a message */
export function decodeResponse(bytes: Uint8Array): readonly string[] | undefined {
  try {
    return IstioCertificateResponse.decode(bytes).certChain;
  } catch {
    return undefined;
  }
}

/** @returns the delay in the `google.rpc.RetryInfo` of a serialised `google.rpc.Status`; 0 when it has none */
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

/**
 * Maps the failure of a call to the CA's error.
 * @param adviceOnRejection what to do about a rejected credential or identity
 */
export function failureOf(
  error: unknown,
  address: string,
  adviceOnRejection: (status: "UNAUTHENTICATED" | "PERMISSION_DENIED") => string,
): CaError {
  if (!(error instanceof GrpcError)) {
    return new CaError("unreachable", address, describeError(error), { cause: error });
  }
  const delayMs = error.details === undefined ? 0 : decodeRetryDelayMs(error.details);
  const retryAfterMs = Math.min(delayMs, maxRetryAfterMs);
  const statusCode = grpcStatusName(error.status);
  switch (error.status) {
    case GrpcStatus.unavailable: {
      const tls = tlsErrorIn(error);
      if (tls !== undefined) return new CaError(`tls-${tls.failure}`, address, tls.message, { statusCode, cause: tls });
      const isUnconnected = error.cause instanceof DeadlineError || isConnectCode(systemCode(error.cause));
      // The cause of the gRPC error: its own message would repeat the text.
      const facts = { retryAfterMs, statusCode, isUnconnected, cause: error.cause };
      const text = error.detail.replace(`connect to ${address}: `, "");
      return new CaError("unreachable", address, isUnconnected ? `${text}; ${addressAdvice(error)}` : text, facts);
    }
    case GrpcStatus.deadlineExceeded:
    case GrpcStatus.cancelled:
      return new CaError("unreachable", address, error.detail, { retryAfterMs, statusCode, cause: error });
    case GrpcStatus.unauthenticated:
    case GrpcStatus.permissionDenied: {
      const isPermanent = error.status === GrpcStatus.permissionDenied;
      const advice = adviceOnRejection(isPermanent ? "PERMISSION_DENIED" : "UNAUTHENTICATED");
      const text = `it rejected the request with ${statusCode}: ${error.detail}; ${advice}`;
      return new CaError("refused", address, text, { retryAfterMs, isPermanent, statusCode });
    }
    case GrpcStatus.unimplemented: {
      const text = "it has no certificate service; is this the address of a CA?";
      return new CaError("refused", address, text, { statusCode });
    }
    default: {
      const text = `it rejected the request with ${statusCode}: ${error.detail}`;
      return new CaError("refused", address, text, { retryAfterMs, statusCode });
    }
  }
}

/** What to do about a CA to which no connection can be made. */
function addressAdvice({ cause }: GrpcError): string {
  if (cause instanceof DeadlineError)
    return "check the address (CA_ADDR, else discoveryAddress), and that no firewall drops it";
  return `correct the address (CA_ADDR, else discoveryAddress)${isNameCode(systemCode(cause)) ? " or this machine's DNS" : ", or start the CA there"}`;
}
