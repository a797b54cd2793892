// SPDX-License-Identifier: Apache-2.0
import { type AgentMetrics, type AgentMetricsOptions, createAgentMetrics } from "../../src/metrics/index.ts";

/** The agent's metrics, all of them exposed, of an agent without a certificate; `given` takes the place of that. */
export function createTestMetrics(given: Partial<AgentMetricsOptions> = {}): AgentMetrics {
  return createAgentMetrics({
    version: "test",
    now: () => 0,
    budgets: () => [],
    certificate: () => undefined,
    ready: () => true,
    envoyStarts: () => ({ restarts: 0, hotRestarts: 0, failedHotRestarts: 0 }),
    externalSds: true,
    xdsProxy: true,
    ...given,
  });
}

/** What the xDS proxy counts in. */
export function createXdsMetrics() {
  const { xds, xdsUpdates, wasm } = createTestMetrics();
  return { ...xds, ...xdsUpdates, ...wasm };
}
