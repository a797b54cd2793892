// SPDX-License-Identifier: Apache-2.0
import { CaError, maxRetryAfterMs } from "./ca-error.ts";
import type { HttpAnswer } from "./http-call.ts";

/**
 * The error for an HTTP status other than success.
 * @param message the server's explanation; undefined or empty for none
 */
export function httpFailure(address: string, response: HttpAnswer, message: string | undefined): CaError {
  const { status } = response;
  const text = `status ${String(status)}${message === undefined || message === "" ? "" : `: ${message}`}`;
  const isBusy = status === 412 || status === 429 || status >= 500;
  return new CaError(isBusy ? "unreachable" : "refused", address, text, {
    retryAfterMs: Math.min(response.retryAfterMs, maxRetryAfterMs),
    isPermanent: status === 403,
    statusCode: String(status),
  });
}

export function asString(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}
