// SPDX-License-Identifier: Apache-2.0
import { createAgentMetrics } from "../../src/metrics/index.ts";
import type { XdsMetrics } from "../../src/xds/index.ts";

/** What the proxy counts in, as the agent gives it. */
export function createXdsMetrics(): XdsMetrics {
  return createAgentMetrics({ version: "test", now: () => 0, certificates: () => [] }).xds;
}
