// SPDX-License-Identifier: Apache-2.0
import type { ScrapeConfig } from "../model/scrape-target.ts";
import type { AgentMetrics } from "./agent-metrics.ts";
import type { MergedScrape, MergedScrapeDeps } from "./merged-scrape.ts";

export { type AgentMetrics, type AgentMetricsOptions, createAgentMetrics } from "./agent-metrics.ts";
export type { MergedScrape } from "./merged-scrape.ts";

/**
 * The merged metrics of agent, Envoy and application. The first scrape loads what merges them and prom-client: until
 * then a metric is a plain number, and an agent that is never scraped does not pay for a registry.
 */
export function lazyMergedScrape(
  config: ScrapeConfig,
  metrics: Pick<AgentMetrics, "scrape" | "exposed">,
  deps: MergedScrapeDeps,
): MergedScrape {
  let loaded: Promise<MergedScrape> | undefined;
  return {
    async scrape(request, sink, signal) {
      loaded ??= import("./merged-scrape.ts").then(({ createMergedScrape }) =>
        createMergedScrape(config, metrics, deps),
      );
      await (await loaded).scrape(request, sink, signal);
    },
  };
}
