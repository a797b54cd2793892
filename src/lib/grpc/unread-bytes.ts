// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../async/clock.ts";
import type { Budget } from "../budget.ts";

/** A client that reads nothing for so long does not read. */
const stalledAfterMs = 1_000;

/** What the client of one connection has not read, from the write until the socket has it. */
export class UnreadBytes {
  readonly #budget: Budget;
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #onSpent: () => void;
  #progressMs = 0;

  /**
   * @param queuedBytes of the process
   * @param onSpent called when what is added does not fit
   */
  constructor(queuedBytes: Budget, clock: Pick<Clock, "monotonicMs">, onSpent: () => void) {
    this.#budget = queuedBytes.child();
    this.#clock = clock;
    this.#onSpent = onSpent;
  }

  /** Since when the client has read nothing, on the monotonic clock; undefined when it is reading. */
  get stalledSinceMs(): number | undefined {
    const isStalled = this.#budget.used > 0 && this.#clock.monotonicMs() - this.#progressMs >= stalledAfterMs;
    return isStalled ? this.#progressMs : undefined;
  }

  add(bytes: number): void {
    if (this.#budget.used === 0) this.#progressMs = this.#clock.monotonicMs();
    if (!this.#budget.charge(bytes)) this.#onSpent();
  }

  remove(bytes: number): void {
    this.#progressMs = this.#clock.monotonicMs();
    this.#budget.release(bytes);
  }

  /** The connection is closed. */
  clear(): void {
    this.#budget[Symbol.dispose]();
  }
}
