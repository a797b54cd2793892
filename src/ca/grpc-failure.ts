// SPDX-License-Identifier: Apache-2.0
import { DeadlineError } from "../lib/async/clock.ts";
import { describeError, systemCode } from "../lib/errors.ts";
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
    case GrpcStatus.unavailable: {
      const unconnected = isUnconnected(error.cause);
      return new CaError("unreachable", address, error.detail, { retryAfterMs, answerCode, unconnected, cause: error });
    }
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

/** Of connecting: nobody is there, no way leads there, the name is not known, or nothing comes back. */
const unconnectedCodes = new Set([
  ...["ECONNREFUSED", "EHOSTUNREACH", "ENETUNREACH", "EHOSTDOWN", "ETIMEDOUT"],
  ...["ENOTFOUND", "EAI_AGAIN", "EAI_NODATA"],
]);

function isUnconnected(cause: unknown): boolean {
  return cause instanceof DeadlineError || unconnectedCodes.has(systemCode(cause) ?? "");
}
