// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../async/clock.ts";
import type { LogFields, Logger } from "./log.ts";

/** The same warning is logged so often. */
const intervalMs = 60_000;

/** Warnings that each try repeats: each message is logged at most once a minute. Messages are constants. */
export class RepeatedWarnings {
  readonly #log: Logger;
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #saidAtMs = new Map<string, number>();

  constructor(log: Logger, clock: Pick<Clock, "monotonicMs">) {
    this.#log = log;
    this.#clock = clock;
  }

  warn(message: string, fields: LogFields = {}): void {
    const nowMs = this.#clock.monotonicMs();
    if (nowMs - (this.#saidAtMs.get(message) ?? Number.NEGATIVE_INFINITY) < intervalMs) return;
    this.#saidAtMs.set(message, nowMs);
    this.#log.warn(message, fields);
  }
}
