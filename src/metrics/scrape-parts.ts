// SPDX-License-Identifier: Apache-2.0
import { upstreamAccept } from "./accept.ts";
import type { FetchTarget } from "./http-get.ts";
import { type TargetDecision, TargetFetch, type TargetLimits } from "./target-fetch.ts";

export interface MergedScrapeConfig {
  /** Envoy's own metrics; undefined leaves them out. */
  readonly envoyPort: number | undefined;
  /** Of the application, in the order in which they appear. */
  readonly targets: readonly FetchTarget[];
}

/** A scrape as the scraper asked for it. */
export interface ScrapeRequest {
  readonly accept: string | undefined;
  readonly userAgent: string | undefined;
  /** `X-Prometheus-Scrape-Timeout-Seconds` as it came. */
  readonly timeoutSeconds: string | undefined;
  /** Without the question mark; for Envoy. */
  readonly query: string;
}

/** One part of the answer that is fetched. */
export interface ScrapePart {
  readonly type: "envoy" | "application";
  readonly label: string;
  readonly fetch: TargetFetch;
}

/** A part with what is known of it before the answer begins. */
export type DecidedPart = ScrapePart & { readonly decision: TargetDecision };

const applicationLimits: TargetLimits = { maxBytes: 32 * 1024 * 1024, wholeBytes: 1024 * 1024 };
/** Envoy's metrics are not cut: a proxy with many clusters has many of them. */
const envoyLimits: TargetLimits = { maxBytes: 1024 * 1024 * 1024, wholeBytes: 1024 * 1024 };

/** Asks Envoy and all targets at once. */
export function startParts(
  config: MergedScrapeConfig,
  request: ScrapeRequest,
  limits: TargetLimits = applicationLimits,
): readonly ScrapePart[] {
  const parts: ScrapePart[] = [];
  if (config.envoyPort !== undefined) {
    const path = request.query === "" ? "/stats/prometheus" : `/stats/prometheus?${request.query}`;
    const target = { host: "localhost", scheme: "http", port: config.envoyPort, path } as const;
    parts.push({ type: "envoy", label: "envoy", fetch: new TargetFetch(target, headers(request, false), envoyLimits) });
  }
  for (const target of config.targets) {
    const fetch = new TargetFetch(target, headers(request, true), limits);
    parts.push({ type: "application", label: `${target.host}:${String(target.port)}${target.path}`, fetch });
  }
  return parts;
}

/** Waits until all parts are decided; those that are not when `limit` aborts are given up. */
export async function untilDecided(parts: readonly ScrapePart[], limit: AbortSignal): Promise<readonly DecidedPart[]> {
  const pending = new Set(parts);
  const giveUp = (): void => {
    for (const part of pending) part.fetch.cancel(limit.reason instanceof Error ? limit.reason : new Error("timeout"));
  };
  limit.addEventListener("abort", giveUp, { once: true });
  if (limit.aborted) giveUp();
  try {
    return await Promise.all(
      parts.map(async (part) => {
        const decision = await part.fetch.decided;
        pending.delete(part);
        return { ...part, decision };
      }),
    );
  } finally {
    limit.removeEventListener("abort", giveUp);
  }
}

function headers(request: ScrapeRequest, openMetrics: boolean): Readonly<Record<string, string>> {
  return {
    Accept: upstreamAccept(request.accept, openMetrics),
    "User-Agent": request.userAgent ?? "attache",
    ...(request.timeoutSeconds === undefined
      ? undefined
      : { "X-Prometheus-Scrape-Timeout-Seconds": request.timeoutSeconds }),
  };
}
