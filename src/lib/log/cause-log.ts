// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../async/clock.ts";
import type { Budget } from "../budget.ts";
import type { LogFields, LogLevel, Logger } from "./log.ts";

/** Logs one cause that a peer can repeat. Lines over the budget are left out, and counted in the next line. */
export class CauseLog {
  readonly #log: Logger;
  readonly #lines: Budget;
  readonly #clock: Pick<Clock, "monotonicMs">;
  #leftOut = 0;

  /** @param lines a child of the budget `log-lines-of-cause` */
  constructor(log: Logger, lines: Budget, clock: Pick<Clock, "monotonicMs">) {
    this.#log = log;
    this.#lines = lines;
    this.#clock = clock;
  }

  write(level: LogLevel, message: string, fields: LogFields = {}): void {
    if (!this.#lines.tryTakeAt(this.#clock.monotonicMs())) {
      this.#leftOut++;
      return;
    }
    const leftOut = this.#leftOut;
    this.#leftOut = 0;
    this.#log[level](message, leftOut === 0 ? fields : { ...fields, leftOut });
  }
}
