// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "./clock.ts";

/** Long work gives way to other work after this time: with one more step and a collection, below 10 ms. */
const defaultSliceMs = 2;

/**
 * Splits long work, so that it does not block the event loop: `if (slice.isOver) await slice.next();` after each step.
 */
export class TimeSlice {
  readonly #clock: Pick<Clock, "monotonicMs" | "delay">;
  readonly #signal: AbortSignal | undefined;
  readonly #sliceMs: number;
  #endMs: number;

  /**
   * @param signal ends the work: `next` throws its reason
   * @param sliceMs less for work that makes the engine collect often
   */
  constructor(clock: Pick<Clock, "monotonicMs" | "delay">, signal?: AbortSignal, sliceMs = defaultSliceMs) {
    this.#clock = clock;
    this.#signal = signal;
    this.#sliceMs = sliceMs;
    this.#endMs = clock.monotonicMs() + sliceMs;
  }

  get isOver(): boolean {
    return this.#clock.monotonicMs() >= this.#endMs;
  }

  /** Lets other work run. @throws the signal's reason */
  async next(): Promise<void> {
    await this.#clock.delay(0, this.#signal);
    this.#endMs = this.#clock.monotonicMs() + this.#sliceMs;
  }

  /** Runs work that yields after each step. @throws the work's error, or the signal's reason */
  async run<T>(steps: Steps<T>): Promise<T> {
    for (let step = steps.next(); ; step = steps.next()) {
      if (step.done === true) return step.value;
      if (this.isOver) await this.next();
    }
  }
}

/** Work that yields after each step of a fraction of a millisecond. */
export type Steps<T> = Generator<undefined, T, undefined>;

/** Runs all steps at once: for work that is known to be short. */
export function runSteps<T>(steps: Steps<T>): T {
  for (let step = steps.next(); ; step = steps.next()) if (step.done === true) return step.value;
}
