// SPDX-License-Identifier: Apache-2.0
import { testBudgets } from "../../test/support/budgets.ts";
import { monitorEventLoopDelay } from "node:perf_hooks";
import { systemClock } from "../../src/lib/async/clock.ts";
import { createLogger } from "../../src/lib/log/log.ts";
import { listenUnix } from "../../src/lib/net/unix-socket.ts";
import { ObservableValue } from "../../src/lib/async/observable-value.ts";
import type { Secret } from "../../src/model/secret.ts";
import { serveSds } from "../../src/sds/index.ts";
import { createTestMetrics } from "../../test/support/agent-metrics.ts";

/**
 * The SDS server alone, in a process of its own, as a child of the benchmark. A message `{ rotate: n }` publishes
 * certificate number n and starts to measure the event loop; `{ report: true }` sends back what was measured.
 */
const socketPath = process.argv[2] ?? "";
const leaf = new ObservableValue<Secret>();
const roots = new ObservableValue<Secret>({ kind: "trust-bundle", rootsPem: "R".repeat(2_000) });
const listener = await listenUnix({ path: socketPath, mode: 0o600 });
const delay = monitorEventLoopDelay({ resolution: 1 });
delay.enable();
leaf.set(certificate(0));
serveSds(
  listener,
  { watch: (name, signal) => (name.kind === "trust-bundle" ? roots : leaf).watch(signal) },
  { fileDirectories: [], privateKeyProvider: { kind: "none" } },
  {
    log: createLogger(
      () => undefined,
      Date.now,
      () => new Map([["default", "none"]]),
    ),
    clock: systemClock,
    budgets: testBudgets(),
    random: Math.random,
    metrics: createTestMetrics().sds,
  },
);

process.on("message", (message: { readonly rotate?: number; readonly report?: boolean }) => {
  if (message.rotate !== undefined) {
    delay.reset();
    leaf.set(certificate(message.rotate));
  }
  if (message.report === true) {
    process.send?.({
      maxMs: delay.max / 1e6,
      p99Ms: delay.percentile(99) / 1e6,
      rssMb: process.memoryUsage().rss / 2 ** 20,
    });
  }
});
process.send?.({ listening: true });

/** As large as a real one: a leaf, an intermediate, an EC key. */
function certificate(count: number): Secret {
  const chainPem = `${String(count)} ${"C".repeat(2_400)}`;
  return {
    kind: "certificate",
    chainPem,
    keyPem: "K".repeat(230),
    spiffeId: "",
    serial: "",
    notBeforeMs: 0,
    notAfterMs: 1,
  };
}
