// SPDX-License-Identifier: Apache-2.0
import { orAborted } from "../lib/async/tasks.ts";

/** Requests to renew before the renewal is due. The earliest counts, and one attempt serves all that are due. */
export class RenewalRequests {
  #dueMs: number | undefined;
  #earlier = Promise.withResolvers<undefined>();

  /** @param dueMs monotonic clock */
  request(dueMs: number): void {
    if (this.#dueMs !== undefined && this.#dueMs <= dueMs) return;
    this.#dueMs = dueMs;
    this.#earlier.resolve(undefined);
    this.#earlier = Promise.withResolvers();
  }

  /** When an attempt is requested, by the monotonic clock; undefined for none. */
  get dueMs(): number | undefined {
    return this.#dueMs;
  }

  /** An attempt begins. A request for later stays. */
  attempted(nowMs: number): void {
    if (this.#dueMs !== undefined && this.#dueMs <= nowMs) this.#dueMs = undefined;
  }

  /** A certificate was received, so that nothing is requested any more. */
  renewed(): void {
    this.#dueMs = undefined;
  }

  /** Resolves at the next request that is earlier than those before it. @throws the signal's reason */
  async untilEarlier(signal: AbortSignal): Promise<void> {
    await orAborted(this.#earlier.promise, signal);
  }
}
