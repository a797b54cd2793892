// SPDX-License-Identifier: Apache-2.0
import type { AgentConfig } from "../config/agent-config.ts";
import type { SupervisedEnvoy } from "../envoy/index.ts";
import type { Budget } from "../lib/budget.ts";
import { describeFewFiles } from "../lib/budget-cause.ts";
import { createBudgets } from "../lib/budget-set.ts";
import { BudgetLog } from "../lib/budget-log.ts";
import { readHostLimits } from "../lib/host-limits.ts";
import { HeapCollector, HostMemoryGuard, type MemoryGuard } from "../lib/memory-guard.ts";
import { limitPeerText } from "../lib/printable-text.ts";
import { peerProcess } from "../lib/net/peer-process.ts";
import { type BudgetName, type Budgets, limits } from "../model/limits.ts";
import type { AgentDeps, ModuleDeps } from "./types.ts";

interface BudgetDeps extends Pick<AgentDeps, "log" | "clock" | "limitLog"> {
  readonly limitRecorder: (budgets: Budgets) => void;
}

/**
 * The budgets of the agent on this host. What reports their rejections goes to `modules`. Log and flight recorder, which
 * exist before, count what they hold from now on.
 */
export function createAgentBudgets(
  { xds }: Pick<AgentConfig, "xds">,
  modules: AsyncDisposableStack,
  { log, clock, limitLog, limitRecorder }: BudgetDeps,
): Budgets {
  const host = readHostLimits();
  const few = describeFewFiles(host);
  if (few !== undefined) log.warn("the limit of open files is too low", few);
  const { onSpent } = modules.use(new BudgetLog(log, clock, host));
  const collector = modules.use(new HeapCollector(clock));
  const guard = (of: (name: BudgetName) => Budget): MemoryGuard =>
    new HostMemoryGuard({
      container: of("container-memory-bytes"),
      heap: of("heap-bytes"),
      clock,
      onShort: collector.collectSoon,
    });
  const budgets = createBudgets(limits, host, { onSpent, sizes: configuredSizes(xds), guard });
  limitLog({
    waitingBytes: budgets.of("log-waiting-bytes"),
    lineBytes: budgets.of("log-line-bytes"),
  });
  limitRecorder(budgets);
  limitPeerText(budgets.of("peer-text-bytes"));
  return budgets;
}

/** By the process that made the connection. Without Envoy's process, or where the peer's is not known, all are. */
export function recogniseEnvoy(envoy: Pick<SupervisedEnvoy, "owns"> | undefined): Pick<ModuleDeps, "isEnvoy"> {
  return {
    isEnvoy: (socket) => {
      const pid = envoy === undefined ? undefined : peerProcess(socket);
      return pid === undefined || envoy?.owns(pid) === true;
    },
  };
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
