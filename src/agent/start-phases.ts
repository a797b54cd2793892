// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";
import type { Logger } from "../lib/log/log.ts";

/** A step of the start that has ended. */
export interface StartPhase {
  readonly name: string;
  /** From the agent's first line to the end of the step. */
  readonly atMs: number;
}

/** The steps of the start as they end: one log line for each, with its own time and that since the agent's first line. */
export class StartPhases {
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #startMs: number;
  readonly #ended: StartPhase[] = [];

  constructor(log: Logger, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
    this.#startMs = clock.monotonicMs();
  }

  /** Notes that a step has ended; the same step a second time changes nothing. */
  end(name: string): void {
    if (this.hasEnded(name)) return;
    const atMs = round(this.sinceStartMs());
    const durationMs = round(atMs - (this.#ended.at(-1)?.atMs ?? 0));
    this.#ended.push({ name, atMs });
    this.#log.info("start phase ended", { phase: name, durationMs, sinceStartMs: atMs });
  }

  hasEnded(name: string): boolean {
    return this.#ended.some((phase) => phase.name === name);
  }

  sinceStartMs(): number {
    return this.#clock.monotonicMs() - this.#startMs;
  }

  get ended(): readonly StartPhase[] {
    return this.#ended;
  }
}

/** To tenths. */
function round(ms: number): number {
  return Math.round(ms * 10) / 10;
}
