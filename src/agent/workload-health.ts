// SPDX-License-Identifier: Apache-2.0
import type { AgentConfig } from "../config/agent-config.ts";
import type { Deps } from "../lib/deps.ts";
import type { StatusServer } from "../status/index.ts";
import type { XdsProxy } from "../xds/index.ts";

export interface WorkloadHealthStart {
  readonly config: AgentConfig;
  readonly xds: XdsProxy | undefined;
  readonly status: StatusServer;
}

/**
 * Tells the control plane how the workload is, where a virtual machine's registration asks for it. Envoy comes first: a
 * workload behind an Envoy that is not up is not well. What is started goes to `modules`.
 */
export async function startWorkloadHealth(
  { config, xds, status }: WorkloadHealthStart,
  modules: AsyncDisposableStack,
  { log, clock }: Deps,
): Promise<void> {
  const check = config.xds.kind === "ads" ? config.xds.healthCheck : undefined;
  if (check === undefined || xds === undefined) return;
  const { startHealthChecks } = await import("../xds/index.ts");
  const { checkWorkload } = await import("../status/index.ts");
  const deps = {
    log: log.scope("healthcheck"),
    clock,
    envoyProblem: async () => (await status.verdict()).obstacles.find(({ name }) => name === "envoy")?.detail,
    check: (asked: typeof check, signal: AbortSignal) => checkWorkload(asked, { clock }, signal),
    report: xds.reportHealth.bind(xds),
  };
  modules.use(startHealthChecks(check, deps));
}
