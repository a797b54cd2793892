// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "./clock.ts";

/** By then what follows a start at once, as the log's writer, has been loaded. */
const settleMs = 1_000;

/**
 * Gives back what only the start needed: text and byte code of modules, half-empty pages. The engine would keep most of
 * it, because a quiet process never collects as thoroughly. It costs 20 ms in one piece, so it is done once, when the
 * start is over. Observed with Node 26: 3 to 4 MB less private memory. An engine that has no such door is left alone.
 */
export async function releaseStartMemory(clock: Clock, signal: AbortSignal): Promise<void> {
  await clock.delay(settleMs, signal);
  const [{ setFlagsFromString }, { runInNewContext }] = await Promise.all([import("node:v8"), import("node:vm")]);
  try {
    setFlagsFromString("--expose-gc");
    const collect: unknown = runInNewContext("gc");
    if (typeof collect === "function") {
      Reflect.apply(collect, undefined, [{ type: "major", execution: "sync", flavor: "last-resort" }]);
    }
  } catch {
    // memory stays as it is
  }
}
