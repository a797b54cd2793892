// SPDX-License-Identifier: Apache-2.0
import { createServer } from "node:http";
import { systemClock } from "../../src/lib/async/clock.ts";
import { createLogger } from "../../src/lib/log/log.ts";
import { listenUnix } from "../../src/lib/net/unix-socket.ts";
import { serveXdsProxy } from "../../src/xds/index.ts";
import { createXdsMetrics } from "../../test/support/agent-metrics.ts";
import { testBudgets } from "../../test/support/budgets.ts";
import { xdsConfigOf } from "./xds-config-under-test.ts";

/**
 * The xDS proxy alone, in a process of its own, as a child of the benchmark, with an HTTP port that answers probes.
 * Every message from the parent is answered with the processor time used so far.
 */
const [socketPath = "", controlPlanePort = ""] = process.argv.slice(2);
const listener = await listenUnix({ path: socketPath, mode: 0o600 });
serveXdsProxy(listener, xdsConfigOf(socketPath, Number(controlPlanePort)), {
  log: createLogger(
    () => undefined,
    Date.now,
    () => new Map([["default", "none"]]),
  ),
  clock: systemClock,
  random: Math.random,
  metrics: createXdsMetrics(),
  budgets: testBudgets(),
  agentResources: [],
});
const probes = createServer((_request, response) => response.end("ok"));
probes.listen(0, "127.0.0.1", () => {
  const address = probes.address();
  process.send?.({ probePort: typeof address === "object" ? address?.port : 0 });
});
process.on("message", () => {
  const { user, system } = process.cpuUsage();
  process.send?.({ cpuMs: (user + system) / 1_000 });
});
