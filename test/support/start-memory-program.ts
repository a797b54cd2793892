// SPDX-License-Identifier: Apache-2.0
// A program whose start leaves garbage behind. Tells how much of the heap is left when that was given back, and how.
import { constants, PerformanceObserver } from "node:perf_hooks";
import { getHeapStatistics } from "node:v8";
import { systemClock } from "../../src/lib/async/clock.ts";
import { releaseStartMemory } from "../../src/lib/start-memory.ts";

/** Objects that outlive the young generation, and are garbage when this returns. */
function makeOldGarbage(): number {
  const lists: object[][] = [];
  for (let i = 0; i < 40; i++) lists.push(Array.from({ length: 10_000 }, (_, index) => ({ index, i })));
  return lists.length;
}

let collections = 0;
let steps = 0;
const observer = new PerformanceObserver((list) => {
  for (const { detail } of list.getEntries() as readonly (PerformanceEntry & { detail?: { kind?: number } })[]) {
    if (detail?.kind === constants.NODE_PERFORMANCE_GC_MAJOR) collections++;
    if (detail?.kind === constants.NODE_PERFORMANCE_GC_INCREMENTAL) steps++;
  }
});
makeOldGarbage();
observer.observe({ entryTypes: ["gc"] });
const before = getHeapStatistics().total_heap_size;
await releaseStartMemory(systemClock, new AbortController().signal);
const after = getHeapStatistics().total_heap_size;
await systemClock.delay(100);
observer.disconnect();
process.stdout.write(JSON.stringify({ before, after, collections, steps }));
