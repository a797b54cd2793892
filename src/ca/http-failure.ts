// SPDX-License-Identifier: Apache-2.0
import { CaError } from "./ca-error.ts";
import type { HttpAnswer } from "./http-call.ts";

/** No CA may silence an agent for longer than this. */
const longestRetryAfterMs = 5 * 60_000;

/** What an HTTP status other than success means. @param words the server's own, or undefined for none */
export function httpFailure(address: string, answer: HttpAnswer, words: string | undefined): CaError {
  const retryAfterMs = Math.min(answer.retryAfterMs, longestRetryAfterMs);
  const text = `it answered ${String(answer.status)}${words === undefined || words === "" ? "" : `: ${words}`}`;
  const busy = answer.status === 412 || answer.status === 429 || answer.status >= 500;
  const kind = busy ? "unreachable" : "refused";
  return new CaError(kind, address, text, {
    retryAfterMs,
    permanent: answer.status === 403,
    answerCode: String(answer.status),
  });
}

/** A JSON object; undefined when the text is none. */
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
