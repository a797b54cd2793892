// SPDX-License-Identifier: Apache-2.0
import { createNames } from "../../src/dns/index.ts";
import { systemClock } from "../../src/lib/async/clock.ts";
import { createLogger } from "../../src/lib/log/log.ts";
import { listenUnix } from "../../src/lib/net/unix-socket.ts";
import { createNameTable, createTrustAnchors, serveXdsProxy } from "../../src/xds/index.ts";
import { createXdsMetrics } from "../../test/support/agent-metrics.ts";
import { testBudgets } from "../../test/support/budgets.ts";
import { watchTurns } from "../../test/support/processor-time.ts";
import { xdsConfigOf } from "./xds-config-under-test.ts";

/**
 * The xDS proxy with the agent's own resource types, in a process of its own, as a child of the benchmark. Each message
 * from the parent is answered with the longest turn of the event loop since the one before, and the services that have names.
 */
const [socketPath = "", controlPlanePort = ""] = process.argv.slice(2);
const log = createLogger(
  () => undefined,
  Date.now,
  () => new Map([["default", "none"]]),
);
const deps = { log, clock: systemClock, random: Math.random, budgets: testBudgets() };
const names = createNames({ namespace: "ns1", domain: "svc.cluster.local" }, deps);
const listener = await listenUnix({ path: socketPath, mode: 0o600 });
serveXdsProxy(listener, xdsConfigOf(socketPath, Number(controlPlanePort)), {
  ...deps,
  isEnvoy: () => true,
  metrics: createXdsMetrics(),
  agentResources: [
    createNameTable({ ...deps, begin: (signal) => names.begin(signal) }),
    createTrustAnchors({ ...deps, publish: () => Promise.resolve() }),
  ],
});
const longestTurnMs = watchTurns();
process.send?.("ready");
process.on("message", () =>
  process.send?.({ blockMs: longestTurnMs(), services: names.lookup.current?.store.count ?? 0 }),
);
