// SPDX-License-Identifier: Apache-2.0
import { systemClock } from "../../../src/lib/async/clock.ts";
import type { LogRecord } from "../../../src/lib/log/log.ts";
import { lazyMergedScrape } from "../../../src/metrics/index.ts";
import type { EnvoyReadiness } from "../../../src/model/envoy-readiness.ts";
import { Readiness } from "../../../src/model/readiness.ts";
import {
  type Inspection,
  listenStatus,
  type StatusConfig,
  type StatusServer,
  type StatusSources,
} from "../../../src/status/index.ts";
import { testBudgets } from "../../support/budgets.ts";
import { freePorts } from "../../support/free-ports.ts";
import { createTestMetrics } from "../../support/agent-metrics.ts";
import { testLog } from "../../support/test-log.ts";

export const liveEnvoy: EnvoyReadiness = {
  cdsUpdates: 1,
  cdsRejected: 0,
  ldsUpdates: 1,
  ldsRejected: 0,
  state: "LIVE",
  workersStarted: true,
};

export interface StatusFixture extends AsyncDisposable {
  readonly port: number;
  readonly server: StatusServer;
  readonly url: (path: string) => string;
  readonly readiness: Readiness;
  readonly records: readonly LogRecord[];
  /** What was asked of the agent, in order. */
  readonly asked: string[];
}

type TestSources = Partial<Omit<StatusSources, "inspect">> & { readonly inspect?: Inspection };

/** A status server on a free port, joined to plain sources that the test can set. */
export async function startStatus(
  config: Partial<StatusConfig> = {},
  { inspect = {}, ...sources }: TestSources = {},
  budgets = testBudgets(),
): Promise<StatusFixture> {
  const { log, records } = testLog();
  const asked: string[] = [];
  const readiness = new Readiness(() => Date.now());
  const [port = 0] = await freePorts(1);
  const full: StatusConfig = {
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
    ...config,
  };
  const metrics = createTestMetrics();
  const deps = { log, clock: systemClock, budgets };
  const server = await listenStatus(
    full,
    {
      holds: readiness,
      envoy: { read: () => Promise.resolve(liveEnvoy) },
      terminating: () => undefined,
      onFirstReady: () => asked.push("first ready"),
      metrics: lazyMergedScrape(full.scrape, metrics, deps),
      quit: () => asked.push("quit"),
      drain: () => asked.push("drain"),
      rotate: () => {
        asked.push("rotate");
        return undefined;
      },
      inspect: () => Promise.resolve(inspect),
      ...sources,
    },
    { ...deps, fail: (error) => asked.push(`fail: ${String(error)}`) },
  );
  return {
    port: server.port,
    server,
    url: (path) => `http://127.0.0.1:${String(server.port)}${path}`,
    readiness,
    records,
    asked,
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}
