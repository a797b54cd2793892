// SPDX-License-Identifier: Apache-2.0
import type { AgentMetrics } from "./agent-metrics.ts";
import type { MergedScrape, MergedScrapeDeps } from "./merged-scrape.ts";
import type { MetricFamily } from "./metric-family.ts";
import type { MergedScrapeConfig } from "./scrape-parts.ts";

export { type AgentMetrics, type AgentMetricsOptions, createAgentMetrics } from "./agent-metrics.ts";
export type { MergedScrape } from "./merged-scrape.ts";
export type { MergedScrapeConfig } from "./scrape-parts.ts";
export type { MetricFamily } from "./metric-family.ts";

/**
 * The merged metrics of agent, Envoy and application. Nothing is loaded before the first scrape.
 * @param extra families that other modules count in measures of their own
 */
export function lazyMergedScrape(
  config: MergedScrapeConfig,
  metrics: Pick<AgentMetrics, "scrape" | "families">,
  extra: readonly MetricFamily[],
  deps: MergedScrapeDeps,
): MergedScrape {
  let loaded: Promise<MergedScrape> | undefined;
  return {
    async scrape(request, sink, signal) {
      loaded ??= import("./merged-scrape.ts").then(({ createMergedScrape }) =>
        createMergedScrape(config, { scrape: metrics.scrape, families: [...metrics.families, ...extra] }, deps),
      );
      await (await loaded).scrape(request, sink, signal);
    },
  };
}
