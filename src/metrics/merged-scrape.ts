// SPDX-License-Identifier: Apache-2.0
import { type Clock, deadline } from "../lib/async/clock.ts";
import { Pace } from "../lib/async/pace.ts";
import type { Budget } from "../lib/budget.ts";
import { describeError } from "../lib/errors.ts";
import type { Logger } from "../lib/log/log.ts";
import { OutageLog } from "../lib/log/outage-log.ts";
import type { Budgets } from "../model/limits.ts";
import type { ScrapeConfig } from "../model/scrape-target.ts";
import type { AgentMetrics } from "./agent-metrics.ts";
import { BodyFilter } from "./body-filter.ts";
import { BatchingSink, type ByteSink } from "./buffers.ts";
import { acceptedEscaping, commonFormat, renderContentType, type ScrapeFormat, scrapeBudget } from "./negotiation.ts";
import { ConflictLog, type DeclaringPart, FamilyRegister } from "./family-register.ts";
import { FamilyTable } from "./family-table.ts";
import { FamilyGroups } from "./family-groups.ts";
import { convertedFamily } from "./format-conversion.ts";
import { type NameEscaping, renderMetricName } from "./metric-name.ts";
import { PartRules } from "./part-rules.ts";
import { createRegistry, renderMetrics, renderTargetUp } from "./registry.ts";
import { type DecidedPart, type ScrapePart, type ScrapeRequest, startParts, untilDecided } from "./scrape-parts.ts";

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
  const failures = new FailureLog(log, deps.clock);
  const conflicts = new ConflictLog(new OutageLog(log, deps.clock), budgets.of("scrape-conflicts"));
  return {
    async scrape(request, sink, signal) {
      metrics.scrape.scrapes.inc();
      const budget = scrapeBudget(request.timeoutSeconds, request.waitedMs);
      using responseLimit = deadline(deps.clock, budget.responseMs, signal);
      using targetLimit = deadline(deps.clock, budget.targetMs, AbortSignal.any([signal, request.preempted]));
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
        const { format, isGrouped } = await responseFormat(decided, request, pace);
        const register = new FamilyRegister({ duplicates: metrics.scrape.duplicateFamilies, conflicts });
        sink.begin(renderContentType(format));
        using batching = new BatchingSink(sink);
        const line = budgets.of("scrape-line-bytes");
        const names = acceptedEscaping(request.accept, format.kind);
        const read = failures.read.bind(failures);
        const options = { sink: batching, format, isGrouped, names, register, line, pace, failed, read };
        const writer = new ResponseWriter(options);
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

interface TargetLogs {
  readonly failures: OutageLog;
  readonly invalidLines: OutageLog;
}

/** Each target has its own outages, so that one that fails does not hide another. */
class FailureLog {
  readonly #log: Logger;
  readonly #clock: Clock;
  readonly #targets = new Map<string, TargetLogs>();

  constructor(log: Logger, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
  }

  report(target: string, error: unknown): void {
    const reason = describeError(error);
    // the same failure may name other durations and sizes
    const kind = reason.replaceAll(/\d+/g, "");
    this.#of(target).failures.failed({
      level: "warn",
      message: "scrape target failed",
      kind,
      fields: { target, reason },
    });
  }

  /** All of a target was read. */
  read(target: string, invalidLines: number): void {
    const logs = this.#of(target);
    logs.failures.works({ target });
    if (invalidLines === 0) logs.invalidLines.works({ target });
    else {
      const message = "scrape target sends lines that are not metrics; they are left out";
      logs.invalidLines.failed({ level: "warn", message, fields: { target, lines: invalidLines } });
    }
  }

  #of(target: string): TargetLogs {
    const logs = this.#targets.get(target) ?? {
      failures: new OutageLog(this.#log, this.#clock, { recovered: "scrape target responds again" }),
      invalidLines: new OutageLog(this.#log, this.#clock, { recovered: "scrape target sends only metrics again" }),
    };
    this.#targets.set(target, logs);
    return logs;
  }
}

interface ResponseWriterOptions {
  readonly sink: BatchingSink;
  readonly format: ScrapeFormat;
  /** Whether the applications' families are joined. */
  readonly isGrouped: boolean;
  /** How names are written. */
  readonly names: NameEscaping;
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
    const groups = this.#options.isGrouped ? new FamilyGroups() : undefined;
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
    if (this.#options.format.kind === "openmetrics") await this.#sink.write(Buffer.from("# EOF\n"));
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
    const { register, format, names, line, isGrouped } = this.#options;
    const rules = new PartRules(register, part, { from, to: format.kind, names, isGrouped });
    return { rules, filter: new BodyFilter(rules, line) };
  }

  async #pieces(pieces: Iterable<Uint8Array>): Promise<void> {
    for (const piece of pieces) await this.#sink.write(piece);
  }
}

/**
 * The applications' format. OpenMetrics wants the samples of a family together: if two of them declare the same one, their
 * families are joined, or, where a body is too large to be held, the format is text.
 */
async function responseFormat(
  parts: readonly DecidedPart[],
  request: ScrapeRequest,
  pace: Pace,
): Promise<{ readonly format: ScrapeFormat; readonly isGrouped: boolean }> {
  const usable = parts.filter(({ type, decision }) => type === "application" && decision.kind === "usable");
  const formats = usable.flatMap(({ decision }) => (decision.kind === "usable" ? [decision.format] : []));
  const format = commonFormat(formats, request.accept);
  if (format.kind === "text" || usable.length < 2 || !(await haveCommonFamily(usable, pace))) {
    return { format, isGrouped: false };
  }
  if (usable.every(({ fetch }) => fetch.isComplete)) return { format, isGrouped: true };
  const textFormats = formats.map(({ escaping }) => ({ kind: "text", escaping }) as const);
  return { format: commonFormat(textFormats, request.accept), isGrouped: false };
}

const familiesBetweenPauses = 50;

/** Of the families in the buffered beginnings of the bodies, by their names in OpenMetrics. */
async function haveCommonFamily(parts: readonly DecidedPart[], pace: Pace): Promise<boolean> {
  const table = new FamilyTable();
  await pace.begin();
  for (const [index, { fetch, decision }] of parts.entries()) {
    const label = String(index);
    const from = decision.kind === "usable" ? decision.format.kind : "text";
    for (const declared of fetch.declaredFamilies()) {
      const formats = { from, to: "openmetrics", names: "underscores" } as const;
      const family = renderMetricName(convertedFamily(declared.family, declared.type, formats).family, "underscores");
      const first = table.find(family);
      if (first === undefined) table.add(family, { label, type: "" });
      else if (first.label !== label) return true;
      if (table.size % familiesBetweenPauses === 0) await pace.pause();
    }
  }
  return false;
}

function cancelAll(parts: readonly ScrapePart[], reason: unknown): void {
  for (const part of parts) part.fetch.cancel(reason instanceof Error ? reason : new Error("the scrape ended"));
}
