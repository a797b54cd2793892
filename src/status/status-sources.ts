// SPDX-License-Identifier: Apache-2.0
import type { Inspection } from "./inspection.ts";
import type { ReadinessSources } from "./readiness-judge.ts";

/** A request for the merged metrics, as the scraper made it. */
export interface ScrapeRequest {
  readonly accept: string | undefined;
  readonly userAgent: string | undefined;
  /** `X-Prometheus-Scrape-Timeout-Seconds` as it came. */
  readonly timeoutSeconds: string | undefined;
  /** As it came, without the question mark. */
  readonly query: string;
}

/** Takes the answer of a scrape piece by piece. */
export interface ScrapeSink {
  /** Called once, before the first piece. */
  begin(contentType: string): void;
  /** Resolves when the memory of the piece may be used again. @throws when the scraper has gone */
  write(piece: Uint8Array): Promise<void>;
}

export interface MetricsSource {
  /** Writes the merged metrics to the sink; what fails of them is counted and left out. */
  scrape(request: ScrapeRequest, sink: ScrapeSink, signal: AbortSignal): Promise<void>;
}

/** What the status server tells and sets off; `agent/` fits each part to the module that knows. */
export interface StatusSources extends ReadinessSources {
  readonly metrics: MetricsSource;
  /** Ends the agent at once, without a drain. */
  readonly quit: () => void;
  /** Starts to drain Envoy; returns at once. Called for each request, so it must bear repetition. */
  readonly drain: () => void;
  /** What the debug endpoints tell beyond readiness. */
  readonly inspect?: Inspection;
}
