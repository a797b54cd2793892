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

/** The JSON object in a text; undefined when the text is not one. */
export function parseJsonObject(text: string): Readonly<Record<string, unknown>> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return asObject(value);
  } catch {
    return undefined;
  }
}

export function asObject(value: unknown): Readonly<Record<string, unknown>> | undefined {
  return typeof value === "object" && value !== null && !Array.isArray(value) ? { ...value } : undefined;
}

export function asString(value: unknown): string | undefined {
  return typeof value === "string" ? value : undefined;
}

export function asStrings(value: unknown): readonly string[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === "string") : [];
}
