// SPDX-License-Identifier: Apache-2.0

/** The facts about a failed attempt that a signer's error may have. */
export interface SigningFailure {
  /** The kind of failure, for metrics: a small closed set. */
  readonly failure: string;
  /** The least delay before the next attempt, as the CA requested it; 0 for none. */
  readonly retryAfterMs: number;
  /** The CA will not sign for this identity: retrying alone does not help. */
  readonly isPermanent: boolean;
  /** The status of the call, as its protocol names it; empty when there was none. */
  readonly statusCode: string;
  /** No connection was made, so the CA received no request. */
  readonly isUnconnected: boolean;
}

/** Reads them from the error that a signer threw. */
export function readFailure(error: unknown): SigningFailure {
  const { failure, retryAfterMs, isPermanent, statusCode, isUnconnected }: Partial<Record<string, unknown>> =
    error instanceof Error ? Object.fromEntries(Object.entries(error)) : {};
  return {
    failure: typeof failure === "string" ? failure : "unknown",
    retryAfterMs: typeof retryAfterMs === "number" ? Math.max(0, retryAfterMs) : 0,
    isPermanent: isPermanent === true,
    statusCode: typeof statusCode === "string" ? statusCode : "",
    isUnconnected: isUnconnected === true,
  };
}
