// SPDX-License-Identifier: Apache-2.0
import { abortReason } from "../lib/async/clock.ts";
import type { Budgets } from "../model/limits.ts";
import type { ScrapeConfig } from "../model/scrape-target.ts";
import type { RequestHeaders } from "./http-get.ts";
import { upstreamAccept } from "./negotiation.ts";
import { type TargetDecision, TargetFetch } from "./target-fetch.ts";

/** What the scraper requested. */
export interface ScrapeRequest {
  readonly accept: string | undefined;
  readonly userAgent: string | undefined;
  /** The header `X-Prometheus-Scrape-Timeout-Seconds`, at most the longest time that a scrape may take. */
  readonly timeoutSeconds: string | undefined;
  /** How much of that time has passed. */
  readonly waitedMs: number;
  /** Aborts when others wait: the response is made of the targets that have responded. */
  readonly preempted: AbortSignal;
  /** Resolves when the next step of long work may run: one in each turn of the event loop. */
  readonly turn: () => Promise<void>;
  /** For Envoy; without the question mark. */
  readonly query: string;
}

/** A part of the response that is fetched. */
export interface ScrapePart {
  readonly type: "envoy" | "application";
  readonly label: string;
  readonly fetch: TargetFetch;
}

/** A part whose state at the beginning of the response is known. */
export type DecidedPart = ScrapePart & { readonly decision: TargetDecision };

/** Starts to fetch from Envoy and all targets at once. */
export function startParts(config: ScrapeConfig, request: ScrapeRequest, budgets: Budgets): readonly ScrapePart[] {
  const parts: ScrapePart[] = [];
  if (config.envoyPort !== undefined) {
    const path = request.query === "" ? "/stats/prometheus" : `/stats/prometheus?${request.query}`;
    const target = { host: "localhost", scheme: "http", port: config.envoyPort, path } as const;
    const fetch = new TargetFetch({ target, headers: headers(request, false), limitBody: false, budgets });
    parts.push({ type: "envoy", label: "envoy", fetch });
  }
  for (const target of config.targets) {
    const fetch = new TargetFetch({ target, headers: headers(request, true), limitBody: true, budgets });
    parts.push({ type: "application", label: `${target.host}:${String(target.port)}${target.path}`, fetch });
  }
  return parts;
}

/** Waits until all parts are decided; cancels those that are not when `limit` aborts. */
export async function untilDecided(parts: readonly ScrapePart[], limit: AbortSignal): Promise<readonly DecidedPart[]> {
  const pending = new Set(parts);
  const cancelPending = (): void => {
    for (const part of pending) part.fetch.cancel(abortReason(limit));
  };
  limit.addEventListener("abort", cancelPending, { once: true });
  if (limit.aborted) cancelPending();
  try {
    return await Promise.all(
      parts.map(async (part) => {
        const decision = await part.fetch.decided;
        pending.delete(part);
        return { ...part, decision };
      }),
    );
  } finally {
    limit.removeEventListener("abort", cancelPending);
  }
}

function headers(request: ScrapeRequest, openMetrics: boolean): RequestHeaders {
  return {
    Accept: upstreamAccept(request.accept, openMetrics),
    "User-Agent": request.userAgent ?? "attache",
    ...(request.timeoutSeconds === undefined
      ? undefined
      : { "X-Prometheus-Scrape-Timeout-Seconds": request.timeoutSeconds }),
  };
}
