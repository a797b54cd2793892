// SPDX-License-Identifier: Apache-2.0
import { waitedForProcessorMs } from "./stopwatch.ts";

export interface ProcessorWaits extends Disposable {
  /** For how long the processes waited for a processor between two times of the wall clock, at the most. */
  waitedMs(fromMs: number, toMs: number): number;
}

/** Looks every few milliseconds at how long the processes have waited for a processor. */
export function watchProcessors(pids: () => readonly number[]): ProcessorWaits {
  const samples: { readonly atMs: number; readonly waitedMs: number }[] = [];
  const timer = setInterval(() => {
    const waits = pids().map((pid) => waitedForProcessorMs(pid) ?? 0);
    samples.push({ atMs: Date.now(), waitedMs: waits.reduce((sum, waitMs) => sum + waitMs, 0) });
  }, 5);
  return {
    waitedMs(fromMs: number, toMs: number): number {
      const before = samples.findLast(({ atMs }) => atMs <= fromMs)?.waitedMs ?? 0;
      const after = samples.filter(({ atMs }) => atMs <= toMs).map(({ waitedMs }) => waitedMs);
      return Math.max(0, Math.max(...after, 0) - before);
    },
    [Symbol.dispose]() {
      clearInterval(timer);
    },
  };
}
