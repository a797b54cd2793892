// SPDX-License-Identifier: Apache-2.0
import { type Clock, deadline } from "../lib/clock.ts";
import { describeError } from "../lib/errors.ts";
import type { Logger } from "../lib/log.ts";
import { acceptsOpenMetrics, upstreamAccept } from "./accept.ts";
import type { ScrapeMetrics } from "./agent-metrics.ts";
import type { BodyFilter } from "./body-filter.ts";
import { createExposition, type Exposition } from "./exposition.ts";
import { FamilyRegister } from "./family-register.ts";
import type { MetricFamily } from "./metric-family.ts";
import { metricNames } from "./names.ts";
import { scrapeBudget } from "./scrape-budget.ts";
import { commonFormat, renderContentType } from "./scrape-format.ts";
import { type TargetDecision, TargetFetch, type TargetLimits } from "./target-fetch.ts";

export interface MergedScrapeConfig {
  /** Envoy's own metrics; undefined leaves them out. */
  readonly envoyPort: number | undefined;
  /** Of the application, in the order in which they appear. */
  readonly targets: readonly { readonly port: number; readonly path: string }[];
}

/** A scrape as the scraper asked for it. */
export interface ScrapeRequest {
  readonly accept: string | undefined;
  readonly userAgent: string | undefined;
  readonly timeoutSeconds: string | undefined;
  readonly query: string;
}

/** Takes the answer; `write` resolves when the memory of its bytes may be used again. */
export interface ScrapeSink {
  begin(contentType: string): void;
  write(bytes: Uint8Array): Promise<void>;
}

export interface MergedScrape {
  scrape(request: ScrapeRequest, sink: ScrapeSink, signal: AbortSignal): Promise<void>;
}

export interface MergedScrapeDeps {
  readonly log: Logger;
  readonly clock: Clock;
}

/** One part that is fetched. */
interface Part {
  readonly type: "envoy" | "application";
  readonly label: string;
  readonly fetch: TargetFetch;
}

const applicationLimits: TargetLimits = { maxBytes: 32 * 1024 * 1024, wholeBytes: 1024 * 1024 };
/** Envoy's metrics are not cut: a proxy with many clusters has many of them. */
const envoyLimits: TargetLimits = { maxBytes: 1024 * 1024 * 1024, wholeBytes: 1024 * 1024 };

/** Merges the agent's, Envoy's and the application's metrics into one answer; what fails costs only itself. */
export function createMergedScrape(
  config: MergedScrapeConfig,
  metrics: { readonly scrape: ScrapeMetrics; readonly families: readonly MetricFamily[] },
  deps: MergedScrapeDeps,
): MergedScrape {
  const log = deps.log.scope("metrics");
  let exposition: Exposition | undefined;

  function failed(part: Part, reason: unknown): void {
    metrics.scrape.failures.inc(part.type);
    log.warn("scrape target failed", { target: part.label, reason: describeError(reason) });
  }

  return {
    async scrape(request, sink, signal) {
      metrics.scrape.scrapes.inc();
      const budget = scrapeBudget(request.timeoutSeconds);
      using answer = deadline(deps.clock, budget.answerMs, signal);
      using target = deadline(deps.clock, budget.targetMs, signal);
      const parts = startParts(config, request);
      const cancel = (cause: AbortSignal) => (): void => {
        const reason = cause.reason instanceof Error ? cause.reason : new Error("the scrape ended");
        for (const part of parts) part.fetch.cancel(reason);
      };
      answer.signal.addEventListener("abort", cancel(answer.signal));
      const decisions = await untilDecided(parts, target.signal);
      for (const [part, decision] of decisions) if (decision.kind === "failed") failed(part, decision.reason);
      const formats = [...decisions].flatMap(([part, decision]) =>
        part.type === "application" && decision.kind === "usable" ? [decision.format] : [],
      );
      const format = commonFormat(formats, acceptsOpenMetrics(request.accept));
      const families = new FamilyRegister(metrics.scrape.duplicateFamilies, log);
      sink.begin(renderContentType(format));
      try {
        exposition ??= createExposition(metrics.families);
        const own = families.part("agent");
        await writeAll(sink, own.feed(Buffer.from(await exposition.render())));
        const up = new Map<string, boolean>();
        for (const [part, decision] of decisions) {
          up.set(part.label, decision.kind === "usable" && (await emit(part, families.part(part.label), sink, failed)));
        }
        await writeAll(sink, families.part("targets").feed(Buffer.from(renderTargetUp(up))));
        if (format.kind === "openmetrics") await sink.write(Buffer.from("# EOF\n"));
      } catch (error) {
        if (!signal.aborted) throw error;
        metrics.scrape.aborts.inc();
      } finally {
        for (const part of parts) part.fetch.cancel(new Error("the scrape ended"));
      }
    },
  };
}

function startParts(config: MergedScrapeConfig, request: ScrapeRequest): readonly Part[] {
  const headers = (openMetrics: boolean): Record<string, string> => ({
    Accept: upstreamAccept(request.accept, openMetrics),
    "User-Agent": request.userAgent ?? "attache",
    ...(request.timeoutSeconds === undefined
      ? undefined
      : { "X-Prometheus-Scrape-Timeout-Seconds": request.timeoutSeconds }),
  });
  const parts: Part[] = [];
  if (config.envoyPort !== undefined) {
    const path = request.query === "" ? "/stats/prometheus" : `/stats/prometheus?${request.query}`;
    const target = { host: "localhost", port: config.envoyPort, path };
    parts.push({ type: "envoy", label: "envoy", fetch: new TargetFetch(target, headers(false), envoyLimits) });
  }
  for (const { port, path } of config.targets) {
    const target = { host: "localhost", port, path };
    const fetch = new TargetFetch(target, headers(true), applicationLimits);
    parts.push({ type: "application", label: `localhost:${String(port)}${path}`, fetch });
  }
  return parts;
}

/** Waits for all targets at once; those that are not decided by then are given up. */
async function untilDecided(parts: readonly Part[], limit: AbortSignal): Promise<ReadonlyMap<Part, TargetDecision>> {
  const pending = new Set(parts);
  const giveUp = (): void => {
    for (const part of pending) part.fetch.cancel(limit.reason instanceof Error ? limit.reason : new Error("timeout"));
  };
  limit.addEventListener("abort", giveUp, { once: true });
  if (limit.aborted) giveUp();
  const decisions = await Promise.all(
    parts.map(async (part): Promise<[Part, TargetDecision]> => {
      const decision = await part.fetch.decided;
      pending.delete(part);
      return [part, decision];
    }),
  );
  limit.removeEventListener("abort", giveUp);
  return new Map(decisions);
}

async function emit(
  part: Part,
  filter: BodyFilter,
  sink: ScrapeSink,
  failed: (part: Part, reason: unknown) => void,
): Promise<boolean> {
  let sinkFailure: Error | undefined;
  try {
    await part.fetch.emit(async (bytes) => {
      try {
        await writeAll(sink, filter.feed(bytes));
      } catch (error) {
        sinkFailure = error instanceof Error ? error : new Error(String(error));
        throw sinkFailure;
      }
    });
    await writeAll(sink, filter.end());
    return true;
  } catch (error) {
    if (sinkFailure !== undefined) throw sinkFailure;
    failed(part, error);
    return false;
  }
}

async function writeAll(sink: ScrapeSink, pieces: readonly Uint8Array[]): Promise<void> {
  for (const piece of pieces) await sink.write(piece);
}

function renderTargetUp(up: ReadonlyMap<string, boolean>): string {
  const { name, help } = metricNames.targetUp;
  const lines = [`# HELP ${name} ${help}`, `# TYPE ${name} gauge`];
  for (const [label, whole] of up) {
    const escaped = label.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n");
    lines.push(`${name}{target="${escaped}"} ${whole ? "1" : "0"}`);
  }
  return `${lines.join("\n")}\n`;
}
