// SPDX-License-Identifier: Apache-2.0
import type { ResponseCheck, SigningRequest } from "../model/signing.ts";

/** Signs certificates; a client of any kind of CA fits. One call is one attempt: retrying is the renewer's task. */
export interface CertificateSigner {
  /**
   * Has a request signed.
   * @returns what `check` returns for the CA's response
   * @throws what `check` throws, or any error; the facts of `SigningFailure` are read from it where it has them
   */
  sign<T>(request: SigningRequest, check: ResponseCheck<T>, signal: AbortSignal): Promise<T>;
  /** Resolves when the cause of a failure may be gone, such as a replaced token file, or on abort. */
  untilChanged?(signal: AbortSignal): Promise<void>;
  /**
   * Resolves when the signer accepts connections again, or on abort; called after a failure to connect. It must cost
   * the signer no more than a connection.
   */
  untilReachable?(signal: AbortSignal): Promise<void>;
  /** Whether the same request may be sent again while the first is pending: the signer keeps nothing of either. */
  readonly supportsHedging?: boolean;
}

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

/** Reads the facts about a failed attempt from whatever was thrown. */
export function signingFailure(error: unknown): SigningFailure {
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
