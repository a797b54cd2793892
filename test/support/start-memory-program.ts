// SPDX-License-Identifier: Apache-2.0
// A program whose start leaves garbage behind. Tells how much of the heap is left when that was given back, and how.
import { constants, PerformanceObserver } from "node:perf_hooks";
import { getHeapSpaceStatistics, getHeapStatistics } from "node:v8";
import { compileFunction } from "node:vm";
import { systemClock } from "../../src/lib/async/clock.ts";
import { releaseStartMemory } from "../../src/lib/start-memory.ts";

/** Objects that outlive the young generation, and are garbage when this returns. */
function makeOldGarbage(): number {
  const lists: object[][] = [];
  for (let i = 0; i < 40; i++) lists.push(Array.from({ length: 10_000 }, (_, index) => ({ index, i })));
  return lists.length;
}

/** Functions that ran often enough to be compiled to machine code, and will not run again. */
function makeMachineCode(): readonly unknown[] {
  const body = "let sum = 0; for (let i = 0; i < 100; i++) sum += i % 7 === 3 ? i * n : i - n; return sum;";
  return Array.from({ length: 200 }, (_, index) => {
    // the text differs, because the engine would find the code of the same text again
    const compute = compileFunction(`${body} // ${String(index)}`, ["n"]) as (n: number) => number;
    for (let turn = 0; turn < 100; turn++) compute(turn);
    return compute;
  });
}

function machineCodeBytes(): number {
  const spaces = getHeapSpaceStatistics().filter(({ space_name: name }) => name === "code_space");
  return spaces.reduce((sum, { space_used_size: size }) => sum + size, 0);
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
const functions = makeMachineCode();
observer.observe({ entryTypes: ["gc"] });
const before = getHeapStatistics().total_heap_size;
const codeBefore = machineCodeBytes();
await releaseStartMemory(systemClock, new AbortController().signal);
const after = getHeapStatistics().total_heap_size;
const codeAfter = machineCodeBytes();
await systemClock.delay(100);
observer.disconnect();
process.stdout.write(
  JSON.stringify({ before, after, codeBefore, codeAfter, functions: functions.length, collections, steps }),
);
