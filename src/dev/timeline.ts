// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";

/** When each step of a run ended, in milliseconds from the start. */
export class Timeline {
  readonly #clock: Clock;
  readonly #startMs: number;
  readonly #ends = new Map<string, number>();

  constructor(clock: Clock) {
    this.#clock = clock;
    this.#startMs = clock.monotonicMs();
  }

  /** Notes the end of a step. @returns milliseconds from the end of another step to this one, or from the start */
  end(step: string, from?: string): number {
    const ms = Math.round(this.#clock.monotonicMs() - this.#startMs);
    this.#ends.set(step, ms);
    return ms - (from === undefined ? 0 : (this.#ends.get(from) ?? 0));
  }

  /** Steps in the order in which they ended. */
  phases(): Readonly<Record<string, number>> {
    return Object.fromEntries(this.#ends);
  }
}
