// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { callHedged, rotationDelayMs } from "../../../src/cert/renewal-pace.ts";
import type { RotationPolicy } from "../../../src/cert/types.ts";
import { FakeClock } from "../../support/fake-clock.ts";

const minuteMs = 60_000;

function delayMinutes(
  policy: Partial<RotationPolicy>,
  { random = 0.5, startMs = 0, endMs = 60 * minuteMs, nowMs = 0 } = {},
): number {
  const whole = { gracePeriodRatio: 0.5, gracePeriodRatioJitter: 0, leastSpread: 0, floorMs: 0, ...policy };
  return rotationDelayMs({ startMs, notAfterMs: endMs }, whole, nowMs, random) / minuteMs;
}

describe("rotation delay", () => {
  test.each([
    [0.5, 30],
    [0.25, 45],
    [0.75, 15],
    [1, 0],
    [0, 60],
  ])("B4: an hour with ratio %d rotates after %d minutes", (gracePeriodRatio, minutes) => {
    expect(delayMinutes({ gracePeriodRatio })).toBe(minutes);
  });

  test("B4: an expired certificate rotates now; one that begins in 30 minutes, ratio .25, in 75", () => {
    expect(delayMinutes({}, { endMs: -minuteMs })).toBe(0);
    expect(delayMinutes({ gracePeriodRatio: 0.25 }, { startMs: 30 * minuteMs, endMs: 90 * minuteMs })).toBe(75);
  });

  test.each([
    [1, 0, 30],
    [0.5, 0, 60],
    [0, 30, 60],
  ])("B5: jitter .5 with ratio %d stays within [%d, %d] minutes", (gracePeriodRatio, least, most) => {
    const delays = [0, 0.1, 0.25, 0.5, 0.75, 0.9, 0.999999].map((random) =>
      delayMinutes({ gracePeriodRatio, gracePeriodRatioJitter: 0.5 }, { random }),
    );
    expect(Math.min(...delays)).toBeGreaterThanOrEqual(least);
    expect(Math.max(...delays)).toBeLessThanOrEqual(most + 1e-9);
  });

  test("has a spread of ten percent around the delay, unless the jitter gives more", () => {
    const at = (random: number, jitter: number): number =>
      delayMinutes({ leastSpread: 0.1, gracePeriodRatioJitter: jitter }, { random });
    expect([at(0, 0), at(0.5, 0), at(1, 0)]).toEqual([27, 30, 33]);
    expect(at(1, 0.01) - at(0, 0.01)).toBeLessThan(6.7);
    expect(at(1, 0.25)).toBe(15);
    expect(at(0, 0.25)).toBe(45);
  });

  test("is never less than the floor", () => {
    expect(delayMinutes({ gracePeriodRatio: 1, floorMs: minuteMs })).toBe(1);
    expect(delayMinutes({ floorMs: minuteMs }, { endMs: -minuteMs })).toBe(1);
  });
});

interface Call {
  readonly atMs: number;
  readonly signal: AbortSignal;
  readonly response: PromiseWithResolvers<string>;
}

function setUp() {
  const clock = new FakeClock();
  const calls: Call[] = [];
  const stop = new AbortController();
  const result = callHedged(
    (signal) => {
      const response = Promise.withResolvers<string>();
      calls.push({ atMs: clock.monotonicMs(), signal, response });
      return response.promise;
    },
    clock,
    stop.signal,
  );
  result.catch(() => undefined);
  return { clock, calls, result };
}

describe("hedged calls", () => {
  test("the first response counts, and the other calls are aborted", async () => {
    const { clock, calls, result } = setUp();
    await clock.advance(4_000);
    expect(calls.map((call) => call.atMs)).toEqual([0, 2_000, 4_000]);
    calls[1]?.response.resolve("chain");
    expect(await result).toBe("chain");
    expect(calls.every((call) => call.signal.aborted)).toBe(true);
    await clock.advance(10_000);
    expect(calls).toHaveLength(3);
    expect(clock.pendingDelaysMs).toEqual([]);
  });

  test("a quick response needs no second call", async () => {
    const { clock, calls, result } = setUp();
    calls[0]?.response.resolve("chain");
    await result;
    await clock.advance(10_000);
    expect(calls).toHaveLength(1);
  });

  test("a quick failure is reported at once; the next call is the next attempt's", async () => {
    const { clock, calls, result } = setUp();
    calls[0]?.response.reject(new Error("refused"));
    await expect(result).rejects.toThrow("refused");
    await clock.advance(10_000);
    expect(calls).toHaveLength(1);
  });

  test("one failure among several waits for the others", async () => {
    const { clock, calls, result } = setUp();
    await clock.advance(2_000);
    calls[0]?.response.reject(new Error("first"));
    await clock.advance(100);
    calls[1]?.response.resolve("chain");
    expect(await result).toBe("chain");
  });
});
