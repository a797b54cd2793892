// SPDX-License-Identifier: Apache-2.0
import { setTimeout as pause } from "node:timers/promises";

/**
 * Repeats an assertion until it holds; its last failure is thrown when the time is over.
 * The only place in the tests that polls.
 */
export async function eventually<T>(
  assertion: () => T | Promise<T>,
  { withinMs, everyMs = 10 }: { readonly withinMs: number; readonly everyMs?: number },
): Promise<T> {
  const endMs = performance.now() + withinMs;
  for (;;) {
    try {
      return await assertion();
    } catch (error) {
      if (performance.now() >= endMs) throw error;
    }
    await pause(everyMs);
  }
}
