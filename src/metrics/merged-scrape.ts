// SPDX-License-Identifier: Apache-2.0
import { type Clock, deadline } from "../lib/async/clock.ts";
import { describeError } from "../lib/errors.ts";
import type { Logger } from "../lib/log/log.ts";
import type { ScrapeConfig } from "../model/scrape-target.ts";
import type { AgentMetrics } from "./agent-metrics.ts";
import { BodyFilter } from "./body-filter.ts";
import { BatchingSink, type ByteSink } from "./buffers.ts";
import { acceptsOpenMetrics, commonFormat, renderContentType, type ScrapeFormat, scrapeBudget } from "./negotiation.ts";
import { FamilyRegister, PartRules } from "./part-rules.ts";
import { createRegistry, renderTargetUp } from "./registry.ts";
import { type DecidedPart, type ScrapePart, type ScrapeRequest, startParts, untilDecided } from "./scrape-parts.ts";
import type { TargetLimits } from "./target-fetch.ts";

/** Receives the response; `write` resolves when the memory of the bytes may be reused. */
export interface ScrapeSink extends ByteSink {
  begin(contentType: string): void;
}

export interface MergedScrape {
  /** @throws when the sink throws although `signal` has not aborted */
  scrape(request: ScrapeRequest, sink: ScrapeSink, signal: AbortSignal): Promise<void>;
}

export interface MergedScrapeDeps {
  readonly log: Logger;
  readonly clock: Clock;
  /** For tests: the limits of application targets. */
  readonly limits?: TargetLimits;
}

/**
 * Merges the metrics of agent, Envoy and application, in this order. All are fetched at once; a target that fails loses
 * only its own metrics. Bodies are streamed: a large one waits in its connection until those before it are written.
 */
export function createMergedScrape(
  config: ScrapeConfig,
  metrics: Pick<AgentMetrics, "scrape" | "exposed">,
  deps: MergedScrapeDeps,
): MergedScrape {
  const log = deps.log.scope("metrics");
  const registry = createRegistry(metrics.exposed);
  return {
    async scrape(request, sink, signal) {
      metrics.scrape.scrapes.inc();
      const budget = scrapeBudget(request.timeoutSeconds);
      using responseLimit = deadline(deps.clock, budget.responseMs, signal);
      using targetLimit = deadline(deps.clock, budget.targetMs, signal);
      const parts = startParts(config, request, deps.limits);
      responseLimit.signal.addEventListener("abort", () => {
        cancelAll(parts, responseLimit.signal.reason);
      });
      try {
        const decided = await untilDecided(parts, targetLimit.signal);
        const failed = (part: ScrapePart, reason: unknown): void => {
          if (signal.aborted) return;
          metrics.scrape.failures.inc(part.type);
          log.warn("scrape target failed", { target: part.label, reason: describeError(reason) });
        };
        for (const part of decided) if (part.decision.kind === "failed") failed(part, part.decision.reason);
        const format = responseFormat(decided, request);
        const register = new FamilyRegister(metrics.scrape.duplicateFamilies, log);
        sink.begin(renderContentType(format));
        using batching = new BatchingSink(sink);
        await new ResponseWriter(batching, format, register, failed).write(await registry.metrics(), decided);
      } catch (error) {
        if (!signal.aborted) throw error;
        metrics.scrape.aborts.inc();
      } finally {
        cancelAll(parts, new Error("the scrape ended"));
      }
    },
  };
}

/** Writes one response. */
class ResponseWriter {
  readonly #sink: BatchingSink;
  readonly #format: ScrapeFormat;
  readonly #register: FamilyRegister;
  readonly #failed: (part: ScrapePart, reason: unknown) => void;

  constructor(
    sink: BatchingSink,
    format: ScrapeFormat,
    register: FamilyRegister,
    failed: (part: ScrapePart, reason: unknown) => void,
  ) {
    this.#sink = sink;
    this.#format = format;
    this.#register = register;
    this.#failed = failed;
  }

  async write(own: string, parts: readonly DecidedPart[]): Promise<void> {
    await this.#text("agent", own);
    const up = new Map<string, boolean>();
    for (const part of parts) up.set(part.label, await this.#part(part));
    await this.#text("targets", await renderTargetUp(up));
    if (this.#format.kind === "openmetrics") await this.#sink.write(Buffer.from("# EOF\n"));
    await this.#sink.flush();
  }

  async #text(label: string, text: string): Promise<void> {
    await this.#pieces(this.#filter(label, "text").feed(Buffer.from(text)));
  }

  /** @returns whether all of it was written */
  async #part(part: DecidedPart): Promise<boolean> {
    if (part.decision.kind === "failed") return false;
    const filter = this.#filter(part.label, part.decision.format.kind);
    let sinkFailure: Error | undefined;
    try {
      await part.fetch.emit(async (bytes) => {
        const pieces = filter.feed(bytes);
        try {
          await this.#pieces(pieces);
        } catch (error) {
          sinkFailure = error instanceof Error ? error : new Error(String(error));
          throw sinkFailure;
        }
      });
    } catch (error) {
      if (sinkFailure !== undefined) throw sinkFailure;
      this.#failed(part, error);
      return false;
    }
    await this.#pieces(filter.end());
    return true;
  }

  #filter(label: string, from: ScrapeFormat["kind"]): BodyFilter {
    return new BodyFilter(new PartRules(this.#register, label, { from, to: this.#format.kind }));
  }

  async #pieces(pieces: readonly Uint8Array[]): Promise<void> {
    for (const piece of pieces) await this.#sink.write(piece);
  }
}

/**
 * The applications' format, unless two of them declare the same family: OpenMetrics does not allow the samples of the
 * second one, while the text format does.
 */
function responseFormat(parts: readonly DecidedPart[], request: ScrapeRequest): ScrapeFormat {
  const usable = parts.filter(({ type, decision }) => type === "application" && decision.kind === "usable");
  const formats = usable.flatMap(({ decision }) => (decision.kind === "usable" ? [decision.format] : []));
  const format = commonFormat(formats, acceptsOpenMetrics(request.accept));
  if (format.kind === "text" || usable.length < 2) return format;
  const families = usable.flatMap(({ fetch }) => [...new Set(fetch.declaredFamilies())]);
  return new Set(families).size === families.length ? format : { kind: "text" };
}

function cancelAll(parts: readonly ScrapePart[], reason: unknown): void {
  for (const part of parts) part.fetch.cancel(reason instanceof Error ? reason : new Error("the scrape ended"));
}
