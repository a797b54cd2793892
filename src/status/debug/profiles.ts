// SPDX-License-Identifier: Apache-2.0
import { Session } from "node:inspector/promises";
import { monitorEventLoopDelay } from "node:perf_hooks";
import type { Clock } from "../../lib/async/clock.ts";

/** Delays of the event loop in milliseconds, and the resources that keep it alive. */
export interface EventLoopReport {
  readonly seconds: number;
  readonly meanMs: number;
  readonly p50Ms: number;
  readonly p99Ms: number;
  readonly maxMs: number;
  /** Active resources by kind, such as `Timeout` and `TCPSocketWrap`. */
  readonly waitsFor: Readonly<Record<string, number>>;
}

/** Samples the delay of the event loop for some seconds. Nothing is sampled before and after. */
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

const leastIntervalUs = 1_000;
/** They and their stacks are held in memory until the profile is sent. */
const mostSamples = 10_000;

/** Profiles the CPU for some seconds, in the format of Chromium's developer tools. */
export async function recordCpuProfile(seconds: number, clock: Clock, signal: AbortSignal): Promise<string> {
  const session = new Session();
  session.connect();
  try {
    await session.post("Profiler.enable");
    const intervalUs = Math.max(leastIntervalUs, (seconds * 1e6) / mostSamples);
    await session.post("Profiler.setSamplingInterval", { interval: Math.ceil(intervalUs) });
    await session.post("Profiler.start");
    await clock.delay(seconds * 1_000, signal);
    const { profile } = await session.post("Profiler.stop");
    return JSON.stringify(profile);
  } finally {
    session.disconnect();
  }
}
