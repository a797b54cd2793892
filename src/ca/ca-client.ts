// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";
import type { Logger } from "../lib/log/log.ts";

export interface CaDeps {
  readonly log: Logger;
  readonly clock: Clock;
}

/** A signed certificate as the CA gave it, taken apart but not checked. */
export interface CaAnswer {
  /** Leaf first, then intermediates. */
  readonly chainPem: string;
  readonly rootsPem: string;
}

/** What a CA is asked to sign. */
export interface CaRequest {
  readonly csrPem: string;
  /** The one identity that the request names. */
  readonly spiffeId: string;
  /** The validity to ask for. */
  readonly ttlMs: number;
  /** The certificate in use, for CAs that renew by it. */
  readonly current: { readonly chainPem: string; readonly keyPem: string } | undefined;
  /** Throws when the answer is of no use; for clients that can ask elsewhere then. */
  readonly check: (answer: CaAnswer) => void;
}

/** A client of one CA. One call is one try. */
export interface CaClient extends AsyncDisposable {
  /** @throws CaError, or the signal's reason */
  sign(request: CaRequest, signal: AbortSignal): Promise<CaAnswer>;
  /** Resolves when a file that the calls depend on may have changed; never, when there is none. */
  untilChanged(signal: AbortSignal): Promise<void>;
  /** Resolves when the CA can be connected to again; for after a failure to connect. */
  untilReachable?(signal: AbortSignal): Promise<void>;
  /** Whether a request may be made again while the first is still unanswered, without leaving anything behind. */
  readonly mayBeAskedTwice: boolean;
}
