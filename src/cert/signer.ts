// SPDX-License-Identifier: Apache-2.0

/** Who signs certificates, as the store needs it; a client of any kind of CA fits. */
export interface CertificateSigner {
  /**
   * Has a signing request signed. One call is one try: repeating is the store's affair.
   * @throws any error; the store reads the facts of SigningFailure from it where they are there
   */
  sign(request: SigningRequest, signal: AbortSignal): Promise<SignedChain>;
  /** Resolves when something that made a try fail may be different now, such as a token's file, or on abort. */
  untilChanged?(signal: AbortSignal): Promise<void>;
  /**
   * Resolves when the signer can be connected to again, or on abort; for after a failure to connect. It must cost the
   * signer no more than a connection.
   */
  untilReachable?(signal: AbortSignal): Promise<void>;
  /** Whether a request may be made again while the first is still unanswered, without leaving anything behind. */
  readonly mayBeAskedTwice?: boolean;
}

export interface SigningRequest {
  readonly csrPem: string;
  /** The identity that the request names. */
  readonly spiffeId: string;
  /** The validity to ask for; the answer may have another. */
  readonly ttlMs: number;
  /** The certificate in use, for signers that renew by it; undefined before the first, and when it has expired. */
  readonly current: { readonly chainPem: string; readonly keyPem: string } | undefined;
  /** Throws when the answer is of no use; for signers that can ask elsewhere then. The store checks anyway. */
  readonly check: (answer: SignedChain) => void;
}

/** A CA's answer, before anything of it was believed. */
export interface SignedChain {
  /** Leaf first, then intermediates; self-signed roots among them are dropped. */
  readonly chainPem: string;
  /** The roots that the CA hands out with it. */
  readonly rootsPem: string;
}

/** What an error of a signer may tell. */
export interface SigningFailure {
  /** What kind of failure it was, for metrics: a small closed set of words. */
  readonly failure: string;
  /** The least wait before the next try, asked for by the CA; 0 when it asked for none. */
  readonly retryAfterMs: number;
  /** The CA said that it will not sign this, now or later. */
  readonly permanent: boolean;
  /** The status of the call, as its protocol names it; empty where there was none. */
  readonly answerCode: string;
  /** There was no connection, so nobody was asked. */
  readonly unconnected: boolean;
}

/** Reads the facts of a failed try from whatever was thrown. */
export function signingFailure(error: unknown): SigningFailure {
  let failure = "unknown";
  let retryAfterMs = 0;
  let permanent = false;
  let answerCode = "";
  let unconnected = false;
  if (error instanceof Error) {
    if ("failure" in error && typeof error.failure === "string") failure = error.failure;
    if ("answerCode" in error && typeof error.answerCode === "string") answerCode = error.answerCode;
    if ("unconnected" in error) unconnected = error.unconnected === true;
    if ("permanent" in error) permanent = error.permanent === true;
    if ("retryAfterMs" in error && typeof error.retryAfterMs === "number")
      retryAfterMs = Math.max(0, error.retryAfterMs);
  }
  return { failure, retryAfterMs, permanent, answerCode, unconnected };
}
