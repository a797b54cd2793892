// SPDX-License-Identifier: Apache-2.0
// What the status server shows and triggers. `agent/` connects each part to the module that has it.
import type { EnvoyReadiness, ListenerStatus } from "../model/envoy-readiness.ts";
import type { PendingHold } from "../model/readiness.ts";
import type { Inspection } from "./inspection.ts";
import type { EndedPhase, ReadinessCheck } from "./readiness/readiness-report.ts";

export interface StatusSources extends ReadinessSources {
  readonly metrics: MetricsSource;
  /** Stops the agent without a drain. */
  readonly quit: () => void;
  /** Starts a drain of Envoy and returns at once. Called for each request. */
  readonly drain: () => void;
  /** Renews the workload certificate now. @returns why that is not possible; undefined if it is */
  readonly rotate: () => string | undefined;
  /** What the debug endpoints show besides readiness. Called for the first request of one. */
  readonly inspect?: () => Promise<Inspection>;
}

/** What readiness depends on. */
export interface ReadinessSources {
  /** What other modules wait for, such as the workload certificate. */
  readonly holds: { pending(): readonly PendingHold[] };
  /** Undefined when the agent runs without Envoy. */
  readonly envoy: EnvoyReadinessSource | undefined;
  /** Why the agent shuts down, such as `received signal: SIGTERM`; undefined while it does not. */
  readonly terminating: () => string | undefined;
  /** Called once, when the pod is ready for the first time. */
  readonly onFirstReady: () => void;
  /** Files that must exist, such as the certificates that a proxyless application reads. */
  readonly requiredFiles?: readonly string[];
  /** Called with Envoy's conditions while it cannot serve; with undefined when it can. */
  readonly onEnvoySeen?: (check: ReadinessCheck | undefined) => void;
  /** The completed steps of the start. */
  readonly startPhases?: () => readonly EndedPhase[];
}

export interface EnvoyReadinessSource {
  /** @throws while Envoy's admin interface does not respond */
  read(signal: AbortSignal): Promise<EnvoyReadiness>;
  /** Remembers what it read, for comparison with the next read. Undefined where it cannot be known. @throws as `read` */
  listeners?(signal: AbortSignal): Promise<ListenerStatus | undefined>;
  /** What Envoy waits for before it starts its workers, as Envoy names it. @throws as `read` */
  initTargets?(signal: AbortSignal): Promise<readonly string[]>;
  /** How often Envoy has failed so far, and how it exited the last time. */
  failures?(): { readonly count: number; readonly last: string };
}

export interface MetricsSource {
  /** Writes the merged metrics to the sink. Parts that fail are counted and left out. */
  scrape(request: ScrapeRequest, sink: ScrapeSink, signal: AbortSignal): Promise<void>;
}

/** A request for the merged metrics. */
export interface ScrapeRequest {
  readonly accept: string | undefined;
  readonly userAgent: string | undefined;
  /** `X-Prometheus-Scrape-Timeout-Seconds`, at most the longest time that a scrape may take. */
  readonly timeoutSeconds: string | undefined;
  /** How much of that time has passed. */
  readonly waitedMs: number;
  /** Aborts when others wait: the response is then made of the targets that have responded. */
  readonly preempted: AbortSignal;
  /** Resolves when the next step of long work may run: one in each turn of the event loop. */
  readonly turn: () => Promise<void>;
  /** As received, without the question mark. */
  readonly query: string;
}

/** Takes the response of a scrape in pieces. */
export interface ScrapeSink {
  /** Called once, before the first piece. */
  begin(contentType: string): void;
  /** Resolves when the memory of the piece may be reused. @throws when the scraper has left */
  write(piece: Uint8Array): Promise<void>;
}
