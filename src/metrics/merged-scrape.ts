// SPDX-License-Identifier: Apache-2.0
import { type Clock, deadline } from "../lib/async/clock.ts";
import { Pace } from "../lib/async/pace.ts";
import type { Budget } from "../lib/budget.ts";
import type { Logger } from "../lib/log/log.ts";
import { OutageLog } from "../lib/log/outage-log.ts";
import type { Budgets } from "../model/limits.ts";
import type { ScrapeConfig } from "../model/scrape-target.ts";
import type { AgentMetrics } from "./agent-metrics.ts";
import { BodyFilter } from "./body-filter.ts";
import { BatchingSink, type ByteSink } from "./buffers.ts";
import { renderContentType, type ScrapeFormat, scrapeBudget } from "./negotiation.ts";
import { ConflictLog, type DeclaringPart, FamilyRegister } from "./family-register.ts";
import { FamilyGroups } from "./family-groups.ts";
import { PartRules } from "./part-rules.ts";
import { createRegistry, renderMetrics, renderTargetUp } from "./registry.ts";
import { decideFormat, type ResponseFormat } from "./response-format.ts";
import { type DecidedPart, type ScrapePart, type ScrapeRequest, startParts, untilDecided } from "./scrape-parts.ts";
import { TargetOutages } from "./target-outages.ts";

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
  readonly budgets: Budgets;
}

/**
 * Merges the metrics of agent, Envoy and application, in this order. All are fetched at once; a target that fails loses
 * only its own metrics. Bodies are streamed: a large one waits in its connection until those before it are written.
 */
export function createMergedScrape(
  given: ScrapeConfig,
  metrics: Pick<AgentMetrics, "scrape" | "exposed">,
  deps: MergedScrapeDeps,
): MergedScrape {
  const { budgets } = deps;
  const log = deps.log.scope("metrics");
  const config = { ...given, targets: given.targets.filter(() => budgets.of("scrape-targets").tryTake()) };
  const registry = createRegistry(metrics.exposed);
  const failures = new TargetOutages(log, deps.clock);
  const conflicts = new ConflictLog(new OutageLog(log, deps.clock), budgets.of("scrape-conflicts"));
  return {
    async scrape(request, sink, signal) {
      metrics.scrape.scrapes.inc();
      const budget = scrapeBudget(request.timeoutSeconds, request.waitedMs);
      using responseLimit = deadline(deps.clock, budget.responseMs, signal);
      using targetLimit = deadline(deps.clock, budget.targetMs, signal, request.preempted);
      const parts = startParts(config, request, budgets);
      responseLimit.signal.addEventListener("abort", () => {
        cancelAll(parts, responseLimit.signal.reason);
      });
      try {
        const decided = await untilDecided(parts, targetLimit.signal);
        const failed = (part: ScrapePart, reason: unknown): void => {
          if (signal.aborted) return;
          metrics.scrape.failures.inc(part.type);
          failures.report(part.label, reason);
        };
        for (const part of decided) if (part.decision.kind === "failed") failed(part, part.decision.reason);
        const pace = new Pace(deps.clock, request.turn);
        using response = await decideFormat(decided, request.accept, { pace, budgets });
        sink.begin(renderContentType(response.format));
        using batching = new BatchingSink(sink);
        const register = new FamilyRegister({ duplicates: metrics.scrape.duplicateFamilies, conflicts });
        const read = failures.read.bind(failures);
        const line = budgets.of("scrape-line-bytes");
        const writer = new ResponseWriter({ sink: batching, response, register, line, pace, failed, read });
        await writer.write(await renderMetrics(registry, pace), decided);
        conflicts.responseEnded();
      } catch (error) {
        if (!signal.aborted) throw error;
        metrics.scrape.aborts.inc();
      } finally {
        for (const { fetch } of parts) fetch[Symbol.dispose]();
      }
    },
  };
}

interface ResponseWriterOptions {
  readonly sink: BatchingSink;
  readonly response: ResponseFormat;
  readonly register: FamilyRegister;
  /** For one line. */
  readonly line: Budget;
  readonly pace: Pace;
  readonly failed: (part: ScrapePart, reason: unknown) => void;
  /** Called when all of a part was read, with its label and the number of its lines that are not metrics. */
  readonly read: (label: string, invalidLines: number) => void;
}

/** Writes one response. */
class ResponseWriter {
  readonly #options: ResponseWriterOptions;
  readonly #sink: BatchingSink;

  constructor(options: ResponseWriterOptions) {
    this.#options = options;
    this.#sink = options.sink;
  }

  async write(own: string, parts: readonly DecidedPart[]): Promise<void> {
    await this.#text("agent", own);
    const up = new Map<string, boolean>();
    const { format, joinedFamilies } = this.#options.response;
    const groups = joinedFamilies === undefined ? undefined : new FamilyGroups(joinedFamilies);
    for (const part of parts) {
      const isCollected = part.type === "application" ? groups : undefined;
      isCollected?.beginPart();
      up.set(part.label, await this.#part(part, isCollected));
    }
    for (const piece of groups?.lines() ?? []) {
      if (piece.byteLength > 0) await this.#sink.write(piece);
      else await this.#options.pace.pause();
    }
    await this.#text("targets", await renderTargetUp(up));
    if (format.kind === "openmetrics") await this.#sink.write(Buffer.from("# EOF\n"));
    await this.#sink.flush();
  }

  async #text(label: string, text: string): Promise<void> {
    const { filter } = this.#filter({ label, families: undefined, isTrusted: true }, "text");
    await this.#pieces(filter.feed(Buffer.from(text)));
  }

  /** @returns whether all of it was written */
  async #part(part: DecidedPart, groups: FamilyGroups | undefined): Promise<boolean> {
    if (part.decision.kind === "failed") return false;
    const { label, type, fetch } = part;
    const declaring = { label, families: fetch.families, isTrusted: type === "envoy" };
    const { filter, rules } = this.#filter(declaring, part.decision.format.kind);
    const { pace, read } = this.#options;
    let sinkFailure: Error | undefined;
    const sink: ByteSink = groups ?? this.#sink;
    try {
      await fetch.emit(async (bytes) => {
        await pace.begin();
        for (const piece of filter.feed(bytes)) {
          try {
            await sink.write(piece);
          } catch (error) {
            sinkFailure = error instanceof Error ? error : new Error(String(error));
            throw sinkFailure;
          }
          await pace.pause();
        }
      });
    } catch (error) {
      if (sinkFailure !== undefined) throw sinkFailure;
      this.#options.failed(part, error);
      return false;
    }
    for (const piece of filter.end()) await sink.write(piece);
    read(label, rules.invalidLines);
    return true;
  }

  #filter(part: DeclaringPart, from: ScrapeFormat["kind"]) {
    const { register, line } = this.#options;
    const { format, names, joinedFamilies } = this.#options.response;
    const isGrouped = joinedFamilies !== undefined;
    const rules = new PartRules(register, part, { from, to: format.kind, names, isGrouped });
    return { rules, filter: new BodyFilter(rules, line) };
  }

  async #pieces(pieces: Iterable<Uint8Array>): Promise<void> {
    for (const piece of pieces) await this.#sink.write(piece);
  }
}

function cancelAll(parts: readonly ScrapePart[], reason: unknown): void {
  for (const part of parts) part.fetch.cancel(reason instanceof Error ? reason : new Error("the scrape ended"));
}
