// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "./async/clock.ts";
import { startTask } from "./async/tasks.ts";
import type { SpentBudget } from "./budget.ts";
import { causeOf } from "./budget-cause.ts";
import type { HostLimits } from "./host-limits.ts";
import type { Logger } from "./log/log.ts";

/** At most one line for each budget in this time. */
const intervalMs = 60_000;

/**
 * Logs the first rejection of a budget, then at most once a minute how many there were, and when a minute has passed
 * without one. A peer that is paused is no reason for an operator to act: this is logged at debug level.
 */
export class BudgetLog implements AsyncDisposable {
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #host: HostLimits | undefined;
  /** The rejections that were logged. */
  readonly #spent = new Map<SpentBudget, number>();
  #watch: AsyncDisposable | undefined;

  /** @param host whose limits a budget's size may follow from, which the first line says then */
  constructor(log: Logger, clock: Clock, host?: HostLimits) {
    this.#host = host;
    this.#log = log;
    this.#clock = clock;
  }

  readonly onSpent = (budget: SpentBudget): void => {
    this.#spent.set(budget, budget.spentTotal);
    const { setting, whenSpent } = budget.spec;
    const cause = this.#host === undefined ? undefined : causeOf(budget, this.#host);
    const facts = { whenSpent, ...(setting === undefined ? {} : { setting }), ...cause };
    this.#write("warn", "budget is spent", budget, facts);
    this.#watch ??= startTask(
      (stop) => this.#report(stop),
      () => undefined,
    );
  };

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#watch?.[Symbol.asyncDispose]();
  }

  async #report(stop: AbortSignal): Promise<void> {
    try {
      while (this.#spent.size > 0) {
        await this.#clock.delay(intervalMs, stop);
        for (const [budget, logged] of this.#spent) this.#reportOne(budget, budget.spentTotal - logged);
      }
    } finally {
      this.#watch = undefined;
    }
  }

  #reportOne(budget: SpentBudget, rejections: number): void {
    if (rejections > 0) {
      this.#spent.set(budget, budget.spentTotal);
      this.#write("warn", "budget is still spent", budget, { rejections });
    } else {
      this.#spent.delete(budget);
      budget.settle();
      this.#write("info", "budget is no longer spent", budget, {});
    }
  }

  #write(level: "warn" | "info", message: string, { name, size, spec }: SpentBudget, facts: object): void {
    const fields = { budget: name, size, unit: spec.unit, ...facts };
    this.#log[spec.whenSpent === "pause" ? "debug" : level](message, fields);
  }
}
