// SPDX-License-Identifier: Apache-2.0
import type { AgentConfig } from "../config/agent-config.ts";
import { createBudgets } from "../lib/budget-set.ts";
import { BudgetLog } from "../lib/budget-log.ts";
import type { Deps } from "../lib/deps.ts";
import { readHostLimits } from "../lib/host-limits.ts";
import { type Budgets, limits } from "../model/limits.ts";

/** The budgets of the agent on this host. What reports their rejections goes to `modules`. */
export function createAgentBudgets(
  { xds }: Pick<AgentConfig, "xds">,
  modules: AsyncDisposableStack,
  { log, clock }: Pick<Deps, "log" | "clock">,
): Budgets {
  const { onSpent } = modules.use(new BudgetLog(log, clock));
  const sizes = xds.kind === "files" ? {} : { "xds-request-bytes": xds.proxy.maxReceiveBytes };
  return createBudgets(limits, readHostLimits(), { onSpent, sizes });
}
