// SPDX-License-Identifier: Apache-2.0
import type { CertMetrics, CertStatus } from "../cert/index.ts";
import { buildInfo } from "../lib/build-info.ts";
import type { Clock } from "../lib/async/clock.ts";
import type { Logger } from "../lib/log/log.ts";
import type { AgentMetrics, AgentMetricsOptions, MergedScrape, MergedScrapeConfig } from "../metrics/index.ts";

/** The metrics of every module, and the scrape that exposes them. */
export interface ModuleMetrics {
  readonly agent: AgentMetrics;
  readonly cert: CertMetrics;
  readonly files: { fileSecretFailed(): void };
  /** Exposes whether the pod is ready, as the status server saw it last. */
  showReadiness(lastReady: () => boolean): void;
  scrape(config: MergedScrapeConfig, deps: { readonly log: Logger; readonly clock: Clock }): MergedScrape;
}

export interface ModuleMetricsOptions extends Pick<AgentMetricsOptions, "envoyStarts" | "externalSds" | "xdsProxy"> {
  /** The workload certificate as it stands; read at each scrape. */
  readonly certificate: () => CertStatus | undefined;
  readonly clock: Clock;
}

export async function createModuleMetrics({ clock, ...options }: ModuleMetricsOptions): Promise<ModuleMetrics> {
  const { createAgentMetrics, lazyMergedScrape } = await import("../metrics/index.ts");
  let lastReady = (): boolean => false;
  const agent = createAgentMetrics({
    ...options,
    version: buildInfo.version,
    now: () => clock.now(),
    ready: () => lastReady(),
  });
  return {
    agent,
    cert: countAttempts(agent),
    files: {
      fileSecretFailed: () => {
        agent.files.secretFailures.inc();
      },
    },
    showReadiness: (source) => {
      lastReady = source;
    },
    scrape: (config, deps) => lazyMergedScrape(config, agent, deps),
  };
}

/** Counts each attempt to obtain a certificate, under pilot-agent's names and under our own. */
function countAttempts({ certificate, csr }: Pick<AgentMetrics, "certificate" | "csr">): CertMetrics {
  let failedBefore = false;
  return {
    signed(outcome, durationMs, statusCode = "") {
      certificate.attempts.inc(outcome, statusCode);
      csr.requests.inc("csr");
      if (failedBefore) csr.retries.inc("csr");
      failedBefore = outcome !== "ok";
      if (failedBefore) csr.failures.inc("csr");
      csr.latencyMs.add(Math.round(durationMs), "csr");
      csr.durationSeconds.observe(durationMs / 1_000);
    },
  };
}
