// SPDX-License-Identifier: Apache-2.0
import { systemClock } from "../../src/lib/async/clock.ts";
import { createBudgets } from "../../src/lib/budget-set.ts";
import { readHostLimits } from "../../src/lib/host-limits.ts";
import { createLogger } from "../../src/lib/log/log.ts";
import { lazyMergedScrape } from "../../src/metrics/index.ts";
import { limits } from "../../src/model/limits.ts";
import { Readiness } from "../../src/model/readiness.ts";
import { listenStatus, type StatusConfig } from "../../src/status/index.ts";
import { createTestMetrics } from "./agent-metrics.ts";
import { freePorts } from "./free-ports.ts";
import { watchTurns } from "./processor-time.ts";
import { reachableBytes } from "./reachable-bytes.ts";

const [port = 0] = await freePorts(1);
/** Serves until the parent disconnects. It answers each message with a number: see `measured`. */
const config: StatusConfig = {
  port,
  appProbes: {},
  appHost: "127.0.0.1",
  probeSourceAddress: "127.0.0.6",
  probeKeepalive: false,
  probeHttp2: true,
  metricsLocalhostOnly: false,
  scrape: { envoyPort: undefined, targets: [] },
  readiness: "compatible",
  debug: true,
  ...(JSON.parse(process.argv[2] ?? "{}") as Partial<StatusConfig>),
};
const log = createLogger(
  () => undefined,
  () => Date.now(),
  () => new Map(),
);
const deps = { log, clock: systemClock, budgets: createBudgets(limits, readHostLimits()) };
let longestTurnMs: (() => number) | undefined;

/** `collect`: the bytes that are reachable; `longest turn`: that of the event loop since the message before, in ms. */
function measured(what: unknown): number {
  if (what === "collect") return reachableBytes();
  longestTurnMs ??= watchTurns(() => !process.connected);
  return longestTurnMs();
}

const metrics = createTestMetrics();
const live = {
  cdsUpdates: 1,
  cdsRejected: 0,
  ldsUpdates: 1,
  ldsRejected: 0,
  state: "LIVE",
  workersStarted: true,
} as const;
const server = await listenStatus(
  config,
  {
    holds: new Readiness(() => Date.now()),
    envoy: { read: () => Promise.resolve(live) },
    terminating: () => undefined,
    onFirstReady: () => undefined,
    metrics: lazyMergedScrape(config.scrape, metrics, deps),
    quit: () => undefined,
    drain: () => undefined,
    rotate: () => undefined,
  },
  {
    ...deps,
    fail: (error) => {
      throw error;
    },
  },
);
process.once("disconnect", () => void server[Symbol.asyncDispose]());
process.on("message", (message) => process.send?.(measured(message)));
process.send?.(server.port);
