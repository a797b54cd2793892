// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";

/** When, after the first call of a try, the same is asked again beside it. */
const againAfterMs = [2_000, 4_000, 7_000];

/**
 * Makes the same call again while the ones before it are still unanswered, and takes the first answer: a CA that hung
 * and came back answers a new call at once, and an old one perhaps never.
 * @param call told of each call; those that are no longer needed are aborted
 * @throws what the first call failed with, when all have failed
 */
export async function signHedged<T>(
  call: (signal: AbortSignal) => Promise<T>,
  clock: Clock,
  signal: AbortSignal,
): Promise<T> {
  const over = new AbortController();
  const both = AbortSignal.any([signal, over.signal]);
  const failures: unknown[] = [];
  let open = 0;
  return new Promise<T>((resolve, reject) => {
    const start = (): void => {
      open++;
      call(both).then(resolve, (error: unknown) => {
        failures.push(error);
        // All that were made have failed: to ask once more is for the next try, after its pause.
        if (--open === 0) reject(failures[0] instanceof Error ? failures[0] : new Error("the call failed"));
      });
    };
    start();
    for (const afterMs of againAfterMs) {
      clock.delay(afterMs, both).then(
        () => {
          if (open > 0) start();
        },
        () => undefined,
      );
    }
  }).finally(() => {
    over.abort(new Error("another call was answered first"));
  });
}
