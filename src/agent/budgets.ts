// SPDX-License-Identifier: Apache-2.0
import { createBudgets } from "../lib/budget-set.ts";
import { BudgetLog } from "../lib/budget-log.ts";
import type { Deps } from "../lib/deps.ts";
import { readHostLimits } from "../lib/host-limits.ts";
import { type Budgets, limits } from "../model/limits.ts";

/** The budgets of the agent on this host. What reports their rejections goes to `modules`. */
export function createAgentBudgets(
  modules: AsyncDisposableStack,
  { log, clock }: Pick<Deps, "log" | "clock">,
): Budgets {
  const { onSpent } = modules.use(new BudgetLog(log, clock));
  return createBudgets(limits, readHostLimits(), { onSpent });
}
