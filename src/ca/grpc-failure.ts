// SPDX-License-Identifier: Apache-2.0
import { describeError } from "../lib/errors.ts";
import { GrpcError, GrpcStatus, grpcStatusName } from "../lib/grpc/status.ts";
import { CaError } from "./ca-error.ts";
import { decodeRetryDelayMs } from "./istio-messages.ts";

/** No CA may silence an agent for longer than this. */
const longestRetryAfterMs = 5 * 60_000;

/** What a failed call to a CA means. */
export function failureOf(error: unknown, address: string): CaError {
  if (!(error instanceof GrpcError)) {
    return new CaError("unreachable", address, describeError(error), { cause: error });
  }
  const asked = error.details === undefined ? 0 : decodeRetryDelayMs(error.details);
  const retryAfterMs = Math.min(asked, longestRetryAfterMs);
  const answerCode = grpcStatusName(error.status);
  switch (error.status) {
    case GrpcStatus.unavailable:
    case GrpcStatus.deadlineExceeded:
    case GrpcStatus.cancelled:
      return new CaError("unreachable", address, error.detail, { retryAfterMs, answerCode, cause: error });
    case GrpcStatus.unauthenticated:
    case GrpcStatus.permissionDenied: {
      const text = `it refused, with ${answerCode}: ${error.detail}; check token, audience and identity`;
      const permanent = error.status === GrpcStatus.permissionDenied;
      return new CaError("refused", address, text, { retryAfterMs, permanent, answerCode });
    }
    case GrpcStatus.unimplemented:
      return new CaError("refused", address, "it has no certificate service; is this the address of a CA?", {
        answerCode,
      });
    default: {
      const text = `it refused, with ${answerCode}: ${error.detail}`;
      return new CaError("refused", address, text, { retryAfterMs, answerCode });
    }
  }
}
