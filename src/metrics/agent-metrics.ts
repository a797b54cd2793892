// SPDX-License-Identifier: Apache-2.0
import type { BudgetFacts } from "../lib/budget-set.ts";
import type { Counter, Gauge, Histogram } from "../lib/metrics.ts";
import { type AgentCounters, createAgentCounters } from "./agent-counters.ts";
import {
  buildMetrics,
  type CertificateStatus,
  certificateMetrics,
  type ComputedMetric,
  budgetMetrics,
  envoyMetrics,
  type EnvoyStarts,
  readinessMetrics,
} from "./computed-metrics.ts";
import { processMetrics } from "./process-metrics.ts";

/** A metric of the agent. */
export type Metric = Counter | Gauge | Histogram | ComputedMetric;

/** What modules count in, and what a scrape exposes. */
export interface AgentMetrics extends AgentCounters {
  /** In the order in which they are exposed and documented. */
  readonly exposed: readonly Metric[];
}

/** Values are read at each scrape. */
export interface AgentMetricsOptions {
  readonly version: string;
  /** Wall clock, in milliseconds. */
  readonly now: () => number;
  readonly budgets: () => readonly BudgetFacts[];
  /** Undefined while the agent holds no certificate. */
  readonly certificate: () => CertificateStatus | undefined;
  /** Whether the last readiness check passed. */
  readonly ready: () => boolean;
  readonly envoyStarts: () => EnvoyStarts;
  /** Whether another process serves the workload certificate. */
  readonly externalSds: boolean;
  /** Whether the agent proxies xDS. */
  readonly xdsProxy: boolean;
}

export function createAgentMetrics(options: AgentMetricsOptions): AgentMetrics {
  const counters = createAgentCounters();
  const exposed: readonly Metric[] = [
    ...buildMetrics(options.version),
    ...Object.values(counters.start),
    ...readinessMetrics(options.ready),
    ...Object.values(counters.scrape),
    ...envoyMetrics(options.envoyStarts),
    ...processMetrics(),
    ...budgetMetrics(options.budgets),
    ...certificateMetrics(options.certificate, options.now),
    ...Object.values(counters.certificate),
    ...Object.values(counters.csr),
    ...Object.values(counters.files),
    ...Object.values(counters.sds),
    ...(options.externalSds ? Object.values(counters.externalSds) : []),
    ...Object.values(counters.xds),
    ...(options.xdsProxy ? Object.values(counters.xdsUpdates) : []),
    ...Object.values(counters.wasm),
    ...Object.values(counters.dns),
  ];
  return { ...counters, exposed };
}
