// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "./clock.ts";

/** By then what follows a start at once, as the log's writer, has been loaded. */
const settleMs = 1_000;

/** The first two collections free nearly all there is. */
const turns = 3;
/** Enough for one collection on a busy machine. */
const turnMs = 50;

/**
 * Settings of the engine for as long as this lasts: code that is not running is dropped, to be compiled again if it is
 * needed, and half-empty pages are put together and given back. An engine that does not know one leaves it out.
 */
const thrift = ["stress-flush-code", "optimize-for-size"];

/** Lets the next allocation begin a collection that marks in steps of a tenth of a millisecond. */
const inSteps = "stress-incremental-marking";

/**
 * Gives back what only the start needed: text and byte code of modules, half-empty pages. The engine would keep most of
 * it, because a quiet process hardly ever collects. To be done once, when the start is over.
 * Observed with Node 26: 6 to 7 MB less private memory; the longest step is 5 ms, where collecting all at once takes 19.
 */
export async function releaseStartMemory(clock: Clock, signal: AbortSignal): Promise<void> {
  await clock.delay(settleMs, signal);
  const { setFlagsFromString } = await import("node:v8");
  const set = (flags: readonly string[], prefix: "--" | "--no-"): void => {
    for (const flag of flags) setFlagsFromString(`${prefix}${flag}`);
  };
  set(thrift, "--");
  try {
    for (let turn = 0; turn < turns; turn++) {
      set([inSteps], "--");
      allocate();
      set([inSteps], "--no-");
      await clock.delay(turnMs, signal);
    }
  } finally {
    set(thrift, "--no-");
  }
}

/** Takes up more than a page, so that the engine has to look for room: there a collection begins. */
function allocate(): readonly object[] {
  return Array.from({ length: 10_000 }, (_, index) => ({ index }));
}
