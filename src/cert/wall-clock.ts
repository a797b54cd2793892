// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";

/** The wall clock is looked at this often while something waits for it. */
const lookEveryMs = 1_000;
/** Wall clock and running time may differ by this within one look, by slewing and busy machines. */
const toleranceMs = 2_000;

/**
 * Waits until the wall clock shows a time, or has moved otherwise than by running: set anew, or the process or the
 * machine slept. Noticed within a second of running time.
 * @returns "due", or "jumped" when what was planned by the old time should be planned anew
 * @throws the signal's reason
 */
export async function untilWallClock(clock: Clock, atMs: number, signal: AbortSignal): Promise<"due" | "jumped"> {
  while (clock.now() < atMs) {
    const wallMs = clock.now();
    const runningMs = clock.monotonicMs();
    const stepMs = Math.min(lookEveryMs, atMs - wallMs);
    await clock.delay(stepMs, signal);
    const ranMs = clock.monotonicMs() - runningMs;
    const movedMs = clock.now() - wallMs;
    if (Math.abs(movedMs - ranMs) > toleranceMs || ranMs > stepMs + toleranceMs) return "jumped";
  }
  return "due";
}
