// SPDX-License-Identifier: Apache-2.0
import { buildInfo } from "../lib/build-info.ts";
import type { Clock } from "../lib/async/clock.ts";
import type { Logger } from "../lib/log/log.ts";
import type {
  AgentMetrics,
  AgentMetricsOptions,
  MergedScrape,
  MergedScrapeConfig,
  MetricFamily,
} from "../metrics/index.ts";
import type { SdsEvent, SdsMetrics } from "../sds/index.ts";

/** The counters of every module, and the scrape that shows them. */
export interface ModuleMetrics {
  readonly agent: AgentMetrics;
  readonly cert: { signed(outcome: string, durationMs: number): void };
  readonly files: { fileSecretFailed(): void };
  readonly sds: SdsMetrics;
  /** Counts under the names that pilot-agent has. */
  readonly onSdsEvent: (event: SdsEvent) => void;
  /** Shows whether the pod is ready, as the status server saw it last. */
  showReadiness(lastReady: () => boolean): void;
  /** Families that a module counts in measures of its own. */
  addFamilies(families: readonly MetricFamily[]): void;
  scrape(config: MergedScrapeConfig, deps: { readonly log: Logger; readonly clock: Clock }): MergedScrape;
}

interface HeldCertificate {
  readonly notAfterMs: number | undefined;
}

export interface ModuleMetricsOptions {
  /** The workload certificate as it stands; asked at each scrape. */
  readonly held: () => HeldCertificate | undefined;
  /** How often Envoy was started again; asked at each scrape. */
  readonly envoyStarts: NonNullable<AgentMetricsOptions["envoyStarts"]>;
  readonly clock: Clock;
}

export async function createModuleMetrics({ held, envoyStarts, clock }: ModuleMetricsOptions): Promise<ModuleMetrics> {
  const { createAgentMetrics, lazyMergedScrape } = await import("../metrics/index.ts");
  const { createSdsMetrics } = await import("../sds/index.ts");
  let lastReady = (): boolean => false;
  const agent = createAgentMetrics({
    version: buildInfo.version,
    now: () => clock.now(),
    envoyStarts,
    ready: () => lastReady(),
    certificates: () => {
      const notAfterMs = held()?.notAfterMs;
      return notAfterMs === undefined ? [] : [{ resourceName: "default", notAfterMs }];
    },
  });
  const sds = createSdsMetrics();
  const extra: MetricFamily[] = [...sdsFamilies(sds)];
  return {
    agent,
    cert: joinCertMetrics(agent.csr),
    files: {
      fileSecretFailed: () => {
        agent.files.secretFailures.inc();
      },
    },
    sds,
    onSdsEvent: (event) => {
      if (event.kind === "rejected") agent.sds.rejects.inc("sds");
    },
    showReadiness: (source) => {
      lastReady = source;
    },
    addFamilies: (families) => {
      extra.push(...families);
    },
    scrape: (config, deps) => lazyMergedScrape(config, agent, extra, deps),
  };
}

function joinCertMetrics(csr: AgentMetrics["csr"]): ModuleMetrics["cert"] {
  let failedBefore = false;
  return {
    signed(outcome, durationMs) {
      csr.requests.inc("csr");
      if (failedBefore) csr.retries.inc("csr");
      failedBefore = outcome !== "ok";
      if (failedBefore) csr.failures.inc("csr");
      csr.latencyMs.add(Math.round(durationMs), "csr");
      csr.duration.observeMs(durationMs);
    },
  };
}

function sdsFamilies(sds: SdsMetrics): readonly MetricFamily[] {
  const prefix = "attache_sds_";
  return [
    { name: `${prefix}streams`, help: "Open SDS streams.", kind: "gauge", measure: sds.streams },
    { name: `${prefix}subscribers`, help: "Streams that follow a secret.", kind: "gauge", measure: sds.subscribers },
    { name: `${prefix}sent_total`, help: "Secrets sent.", kind: "counter", measure: sds.sent },
    { name: `${prefix}acks_total`, help: "Secrets that Envoy accepted.", kind: "counter", measure: sds.acks },
    { name: `${prefix}nacks_total`, help: "Secrets that Envoy rejected.", kind: "counter", measure: sds.nacks },
    { name: `${prefix}refusals_total`, help: "Requests refused, by reason.", kind: "counter", measure: sds.refusals },
  ];
}
