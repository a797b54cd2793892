// SPDX-License-Identifier: Apache-2.0
import { systemClock } from "../../src/lib/async/clock.ts";
import type { BudgetName } from "../../src/model/limits.ts";
import type { RemoteModule } from "../../src/xds/wasm/extension.ts";
import { ModuleFetcher } from "../../src/xds/wasm/module-fetcher.ts";
import type { WasmConfig } from "../../src/xds/xds-config.ts";
import { startFakeModuleServer } from "../fakes/fake-module-server.ts";
import { createXdsMetrics } from "./agent-metrics.ts";
import { testBudgets } from "./budgets.ts";
import { temporaryDirectory } from "./temporary-directory.ts";

const noSignal = new AbortController().signal;

/** A fetcher with a cache directory and a module server of its own; modules are at most 100,000 bytes. */
export async function fetcherTest(config: Partial<WasmConfig> = {}, sizes: Partial<Record<BudgetName, number>> = {}) {
  const budgets = testBudgets({ "wasm-module-bytes": 100_000, ...sizes });
  const stack = new AsyncDisposableStack();
  const { path: cacheDirectory } = stack.use(await temporaryDirectory());
  const server = stack.use(await startFakeModuleServer());
  const metrics = createXdsMetrics();
  const whole: WasmConfig = {
    cacheDirectory,
    requestTimeoutMs: 1_000,
    maxAttempts: 2,
    maxModuleBytes: budgets.of("wasm-module-bytes").size,
    insecureRegistries: new Set(["*"]),
    blockedCidrs: [],
    proxies: {},
    expiryMs: 60_000,
    purgeEveryMs: 60_000,
    ...config,
  };
  const fetcher = new ModuleFetcher(whole, { clock: systemClock, random: () => 0, metrics, budgets });
  const fetch = (url: string, more: Partial<RemoteModule> = {}): Promise<string> =>
    fetcher.fetch(
      {
        url,
        sha256: undefined,
        timeoutMs: 5_000,
        pullPolicy: "unspecified",
        pullSecret: undefined,
        resourceVersion: "1",
        ...more,
      },
      noSignal,
    );
  return {
    server,
    metrics,
    budgets,
    fetcher,
    fetch,
    cacheDirectory: whole.cacheDirectory,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
}
