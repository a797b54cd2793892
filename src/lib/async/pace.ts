// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "./clock.ts";

/**
 * Work that takes longer lets the rest of the event loop run, so that no probe waits for it: with one more step and a
 * collection of the whole heap, which takes 5 to 8 ms, it stays below 10 ms.
 */
const longestMs = 1.5;

/** Splits long work into steps, of which one runs in each turn of the event loop, whatever work it belongs to. */
export class Pace {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #turn: () => Promise<void>;
  #sinceMs = 0;

  /** @param turn waits until the next step may run, of a queue that all such work shares */
  constructor(clock: Pick<Clock, "monotonicMs">, turn: () => Promise<void>) {
    this.#clock = clock;
    this.#turn = turn;
  }

  /** Waits for the turn of this work. */
  async begin(): Promise<void> {
    await this.#turn();
    this.#sinceMs = this.#clock.monotonicMs();
  }

  /** Between two steps: waits for the next turn when this one was long enough. Undefined when there is nothing to wait for. */
  pause(): Promise<void> | undefined {
    return this.#clock.monotonicMs() - this.#sinceMs < longestMs ? undefined : this.begin();
  }
}
