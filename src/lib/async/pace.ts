// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "./clock.ts";

/** Work that takes longer lets the rest of the event loop run, so that no probe waits for it. */
const longestMs = 4;

/** Splits long work: `pause` between its steps waits for the next turn of the event loop when enough time has passed. */
export class Pace {
  readonly #clock: Pick<Clock, "monotonicMs">;
  #sinceMs: number;

  constructor(clock: Pick<Clock, "monotonicMs">) {
    this.#clock = clock;
    this.#sinceMs = clock.monotonicMs();
  }

  /** @returns undefined when there is nothing to wait for */
  pause(): Promise<void> | undefined {
    if (this.#clock.monotonicMs() - this.#sinceMs < longestMs) return undefined;
    return new Promise((resolve) => {
      setImmediate(() => {
        this.#sinceMs = this.#clock.monotonicMs();
        resolve();
      });
    });
  }
}
