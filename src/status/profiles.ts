// SPDX-License-Identifier: Apache-2.0
import { Session } from "node:inspector/promises";
import { monitorEventLoopDelay } from "node:perf_hooks";
import type { Readable } from "node:stream";
import { getHeapSnapshot } from "node:v8";
import type { Clock } from "../lib/async/clock.ts";
import { HeapRedaction } from "./heap-redaction.ts";

/** Delays of the event loop in milliseconds, and what it works for. */
export interface EventLoopReport {
  readonly seconds: number;
  readonly meanMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** How many there are of each kind that the event loop waits for, such as `Timeout` and `TCPSocketWrap`. */
  readonly waitsFor: Readonly<Record<string, number>>;
}

/** Watches for so many seconds how late the event loop runs. Nothing is watched before and after. */
export async function measureEventLoop(seconds: number, clock: Clock, signal: AbortSignal): Promise<EventLoopReport> {
  const histogram = monitorEventLoopDelay({ resolution: 10 });
  histogram.enable();
  try {
    await clock.delay(seconds * 1_000, signal);
  } finally {
    histogram.disable();
  }
  const ms = (nanoseconds: number): number => Math.round(nanoseconds / 1e4) / 100;
  return {
    seconds,
    meanMs: ms(histogram.mean),
    p50Ms: ms(histogram.percentile(50)),
    p99Ms: ms(histogram.percentile(99)),
    maxMs: ms(histogram.max),
    waitsFor: countKinds(process.getActiveResourcesInfo()),
  };
}

function countKinds(kinds: readonly string[]): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (const kind of kinds) counts[kind] = (counts[kind] ?? 0) + 1;
  return counts;
}

/** Where the time of so many seconds went, in the format of Chromium's developer tools. */
export async function recordCpuProfile(seconds: number, clock: Clock, signal: AbortSignal): Promise<string> {
  const session = new Session();
  session.connect();
  try {
    await session.post("Profiler.enable");
    await session.post("Profiler.start");
    await clock.delay(seconds * 1_000, signal);
    const { profile } = await session.post("Profiler.stop");
    return JSON.stringify(profile);
  } finally {
    session.disconnect();
  }
}

/**
 * What is on the heap, without the texts that are there. Stops everything else while it is taken: for callers on
 * loopback, on demand.
 */
export function heapSnapshot(): Readable {
  return getHeapSnapshot().pipe(new HeapRedaction());
}
