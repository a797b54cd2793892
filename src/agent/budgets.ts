// SPDX-License-Identifier: Apache-2.0
import type { AgentConfig } from "../config/agent-config.ts";
import { createBudgets } from "../lib/budget-set.ts";
import { BudgetLog } from "../lib/budget-log.ts";
import { readHostLimits } from "../lib/host-limits.ts";
import { type BudgetName, type Budgets, limits } from "../model/limits.ts";
import type { AgentDeps } from "./types.ts";

/**
 * The budgets of the agent on this host. What reports their rejections goes to `modules`. Log and flight recorder, which
 * exist before, count what they hold from now on.
 */
export function createAgentBudgets(
  { xds }: Pick<AgentConfig, "xds">,
  modules: AsyncDisposableStack,
  { log, clock, limitLog }: Pick<AgentDeps, "log" | "clock" | "limitLog">,
): Budgets {
  const { onSpent } = modules.use(new BudgetLog(log, clock));
  const budgets = createBudgets(limits, readHostLimits(), { onSpent, sizes: configuredSizes(xds) });
  limitLog({
    waitingBytes: budgets.of("log-waiting-bytes"),
    bufferedLines: budgets.of("log-buffered-lines"),
    lineBytes: budgets.of("log-line-bytes"),
  });
  return budgets;
}

function configuredSizes(xds: AgentConfig["xds"]): Partial<Record<BudgetName, number>> {
  if (xds.kind === "files") return {};
  const moduleBytes = xds.wasm === undefined ? {} : { "wasm-module-bytes": xds.wasm.maxModuleBytes };
  const { maxReceiveBytes } = xds.proxy;
  if (maxReceiveBytes === undefined) return moduleBytes;
  // a message arrives in parts, and its names are kept
  const twice = { "xds-partial-bytes": 2 * maxReceiveBytes, "xds-names-bytes": 2 * maxReceiveBytes };
  return { "xds-request-bytes": maxReceiveBytes, ...twice, ...moduleBytes };
}
