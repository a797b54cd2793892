// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";

/** How long something takes the processes that are watched, and this one. */
export interface Stopwatch extends Disposable {
  /**
   * Milliseconds since the start, without those in which they were ready to run and other work of the machine had its
   * processors: what is left is theirs, on a busy machine too.
   */
  ms(): number;
}

const lookEveryMs = 10;

/** @param pids the processes as they are at the time; of those that have ended the last look counts */
export function startStopwatch(pids: () => readonly number[]): Stopwatch {
  const startMs = performance.now();
  const first = new Map<number, number>();
  const last = new Map<number, number>();
  const look = (): void => {
    for (const pid of [process.pid, ...pids()]) {
      const waitedMs = waitedForProcessorMs(pid);
      if (waitedMs === undefined) continue;
      if (!first.has(pid)) first.set(pid, waitedMs);
      last.set(pid, waitedMs);
    }
  };
  look();
  const timer = setInterval(look, lookEveryMs);
  return {
    ms() {
      const tookMs = performance.now() - startMs;
      look();
      const waits = [...last].map(([pid, waitedMs]) => waitedMs - (first.get(pid) ?? 0));
      return Math.max(0, tookMs - waits.reduce((sum, waitMs) => sum + waitMs, 0));
    },
    [Symbol.dispose]() {
      clearInterval(timer);
    },
  };
}

/** How long a process's main thread was ready to run and did not. Source: Linux, Documentation/scheduler/sched-stats.rst, the second number in nanoseconds */
export function waitedForProcessorMs(pid: number): number | undefined {
  try {
    return Number(readFileSync(`/proc/${String(pid)}/schedstat`, "utf8").split(" ")[1]) / 1e6;
  } catch {
    return undefined;
  }
}
