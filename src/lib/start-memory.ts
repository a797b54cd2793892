// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "./async/clock.ts";
import { releaseNativeMemory } from "./native-memory.ts";

/** By then the modules that are loaded right after the start are loaded. */
const settleMs = 1_000;

/** Enough for one collection, unless the machine is busy. */
const turnMs = 50;
/** A quiet process takes its next step of marking much later, so each attempt asks for one. Two seconds in total. */
const longestAttempts = 20;

/**
 * After the start: half-empty pages are put together and given back, and the heap may grow by 2 MB instead
 * of 8 before it is looked through again. An engine that does not know a setting leaves it out.
 */
const thrift = "optimize-for-size";

/**
 * For as long as this lasts: code that is not running is dropped, to be compiled again if it is needed. Machine code must
 * stay: with `flush-baseline-code` too, starts under load ended with a segmentation fault (observed with Node 26).
 */
const dropsCode = "stress-flush-code";

/** Half-empty pages are put together each time. The engine's own rule depends on how busy the machine is. */
const compacts = "compact-on-every-full-gc";

/** Lets the next allocation begin a collection that marks in steps of a tenth of a millisecond. */
const inSteps = "stress-incremental-marking";

/**
 * Releases memory that only the start needed: text and byte code of modules, half-empty pages. The engine would keep
 * most of it, because a quiet process hardly ever collects. Call it once, when the start is complete; the heap is kept
 * small from then on.
 * Observed with Node 26: 6 to 7 MB less private memory; the longest step is 5 ms, where collecting all at once takes
 * 19.
 */
export async function releaseStartMemory(clock: Clock, signal: AbortSignal): Promise<void> {
  await clock.delay(settleMs, signal);
  const { setFlagsFromString } = await import("node:v8");
  setFlagsFromString(`--${thrift}`);
  setFlagsFromString(`--${dropsCode}`);
  try {
    await collectInSteps(clock, signal);
    setFlagsFromString(`--${compacts}`);
    await collectInSteps(clock, signal);
  } finally {
    setFlagsFromString(`--no-${compacts}`);
    setFlagsFromString(`--no-${dropsCode}`);
  }
}

/** Gives back what a process that is short of memory does not use. @throws the signal's reason */
export async function releaseUnused(clock: Clock, signal: AbortSignal): Promise<void> {
  releaseNativeMemory();
  await collectInSteps(clock, signal);
  releaseNativeMemory();
}

/** Collects what is unreachable, once, in steps of at most some 5 ms. */
async function collectInSteps(clock: Clock, signal: AbortSignal): Promise<void> {
  const { setFlagsFromString } = await import("node:v8");
  const marker = makeUnreachable();
  for (let attempt = 0; attempt < longestAttempts && marker.deref() !== undefined; attempt++) {
    // in the turn of its last use, the marker counts as reachable
    await clock.delay(turnMs, signal);
    setFlagsFromString(`--${inSteps}`);
    allocate();
    setFlagsFromString(`--no-${inSteps}`);
    await clock.delay(turnMs, signal);
  }
}

/**
 * What a complete collection clears. On a busy machine it is only a sign: a collection of the young generation may clear it too,
 * and asking for it while the engine marks keeps it until the next collection (observed with Node 26).
 */
function makeUnreachable(): WeakRef<object> {
  return new WeakRef({});
}

/** Allocates more than a page, so that the engine must look for space and starts a collection. */
function allocate(): readonly object[] {
  return Array.from({ length: 10_000 }, (_, index) => ({ index }));
}
