// SPDX-License-Identifier: Apache-2.0
import type { CertMetrics, CertStatus } from "../cert/index.ts";
import type { Clock } from "../lib/async/clock.ts";
import { buildInfo } from "../lib/build-info.ts";
import type { Logger } from "../lib/log/log.ts";
import type { ScrapeConfig } from "../model/scrape-target.ts";
import type { AgentMetrics, AgentMetricsOptions, MergedScrape } from "../metrics/index.ts";
import type { ModuleDeps } from "./types.ts";

/** The metrics of every module, and the scrape that exposes them. */
export interface ModuleMetrics {
  readonly agent: AgentMetrics;
  readonly cert: CertMetrics;
  readonly files: { fileSecretFailed(): void };
  /** Exposes the workload certificate; `status` is read at each scrape. */
  observeCertificate(status: () => CertStatus | undefined): void;
  /** Exposes whether the pod is ready; `lastReady` is read at each scrape. */
  observeReadiness(lastReady: () => boolean): void;
  scrape(config: ScrapeConfig, deps: { readonly log: Logger; readonly clock: Clock }): MergedScrape;
}

export type ModuleMetricsOptions = Pick<AgentMetricsOptions, "envoyStarts" | "externalSds" | "xdsProxy">;

/** Modules count from now on; what a scrape reads from them is observed once they are there. */
export async function createModuleMetrics(
  options: ModuleMetricsOptions,
  { clock, budgets }: Pick<ModuleDeps, "clock" | "budgets">,
): Promise<ModuleMetrics> {
  const { createAgentMetrics, lazyMergedScrape } = await import("../metrics/index.ts");
  let readStatus = (): CertStatus | undefined => undefined;
  let readReady = (): boolean => false;
  const agent = createAgentMetrics({
    ...options,
    version: buildInfo.version,
    now: () => clock.now(),
    budgets: () => budgets.facts(),
    certificate: () => readStatus(),
    ready: () => readReady(),
  });
  return {
    agent,
    cert: countAttempts(agent),
    files: {
      fileSecretFailed: () => {
        agent.files.secretFailures.inc();
      },
    },
    observeCertificate: (status) => {
      readStatus = status;
    },
    observeReadiness: (lastReady) => {
      readReady = lastReady;
    },
    scrape: (config, deps) => lazyMergedScrape(config, agent, { ...deps, budgets }),
  };
}

/** Counts each attempt to obtain a certificate, under pilot-agent's names and under our own. */
function countAttempts({ certificate, csr }: Pick<AgentMetrics, "certificate" | "csr">): CertMetrics {
  let hasFailed = false;
  return {
    signed(outcome, durationMs, statusCode = "") {
      certificate.attempts.inc(outcome, statusCode);
      csr.requests.inc("csr");
      if (hasFailed) csr.retries.inc("csr");
      hasFailed = outcome !== "ok";
      if (hasFailed) csr.failures.inc("csr");
      csr.latencyMs.add(Math.round(durationMs), "csr");
      csr.durationSeconds.observe(durationMs / 1_000);
    },
    trustDomainChanged() {
      certificate.trustDomainChanges.inc();
    },
  };
}
