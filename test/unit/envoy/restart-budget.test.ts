// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { isFailure, restartDelayMs } from "../../../src/envoy/restart-budget.ts";

const config = { budget: 3, windowMs: 60_000 };

describe("restart budget", () => {
  test("failures within the window use it up, older ones do not count", () => {
    expect(restartDelayMs([], 0, config, 0)).toBe(50);
    expect(restartDelayMs([1_000, 2_000, 3_000], 60_000, config, 0)).toBeUndefined();
    expect(restartDelayMs([1_000, 2_000, 3_000], 61_000, config, 0)).toBe(50);
  });

  test("the wait doubles with each restart in the window, jittered, up to ten seconds", () => {
    const wide = { budget: 100, windowMs: 60_000 };
    const delays = [0, 1, 2, 3].map((count) => restartDelayMs(Array<number>(count).fill(0), 10, wide, 0.999_999));
    expect(delays.map((delayMs) => Math.round(delayMs ?? 0))).toEqual([200, 400, 800, 1_600]);
    expect(restartDelayMs(Array<number>(50).fill(0), 10, wide, 0.999_999)).toBeLessThanOrEqual(10_000);
  });
});

test.each([
  [{ kind: "code", code: 7, requested: false } as const, true],
  [{ kind: "signal", signal: "SIGSEGV", requested: false } as const, true],
  [{ kind: "code", code: 0, requested: false } as const, false],
  [{ kind: "signal", signal: "SIGKILL", requested: true } as const, false],
  [{ kind: "not-run", code: 127, requested: false } as const, false],
])("%j is a failure: %s", (exit, failure) => {
  expect(isFailure(exit)).toBe(failure);
});
