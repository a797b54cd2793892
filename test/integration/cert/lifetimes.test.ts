// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { firstRotationDelayMs, rotationDelayMs } from "../../../src/cert/renewal-pace.ts";
import { simulateLifetimes } from "../../support/lifetime-simulation.ts";
import { seededRandom } from "../../support/virtual-clock.ts";

describe("over many lives of certificates, beside a CA that fails at random", () => {
  test("a valid certificate is never withheld, a bad one never served, and the CA never hammered", {
    timeout: 240_000,
  }, async () => {
    const result = await simulateLifetimes({ seed: 7, lifetimes: 10_000, lifetimeMs: 60_000 });
    expect(result.withheldMs).toBe(0);
    expect(result.badServed).toBe(0);
    expect(result.shortestGapMs).toBeGreaterThanOrEqual(1_000);
    expect(result.mostPerMinute).toBeLessThanOrEqual(10);
    expect([...result.modesSeen].sort()).toHaveLength(10);
    expect(result.issued).toBe(10_000);
    // The faults were real: there were times without any certificate, and failed tries.
    expect(result.withoutMs).toBeGreaterThan(0);
    expect(result.attempts).toBeGreaterThan(12_000);
  });

  test("the same seed has the same trace, another seed another one", async () => {
    const run = (seed: number): Promise<{ readonly trace: string }> =>
      simulateLifetimes({ seed, lifetimes: 150, lifetimeMs: 60_000 });
    const [first, again, other] = [await run(1), await run(1), await run(2)];
    expect(again.trace).toBe(first.trace);
    expect(other.trace).not.toBe(first.trace);
  });
});

test("a thousand agents that start in one second do not renew together", () => {
  const random = seededRandom(11);
  const lifeMs = 24 * 3_600_000;
  const lives = 4;
  const policy = { gracePeriodRatio: 0.5, gracePeriodRatioJitter: 0.01, leastSpread: 0.1, floorMs: 1_000 };
  const windows = Array<number>(lives * 100).fill(0);
  for (let agent = 0; agent < 1_000; agent++) {
    let atMs = random() * 1_000;
    for (let renewals = 0; atMs < lives * lifeMs; renewals++) {
      const window = Math.floor((atMs / lifeMs) * 100);
      if (renewals > 0) windows[window] = (windows[window] ?? 0) + 1;
      const delayMs = renewals === 0 ? firstRotationDelayMs : rotationDelayMs;
      atMs += delayMs({ startMs: atMs, notAfterMs: atMs + lifeMs }, policy, atMs, random());
    }
  }
  for (const until of [100, 200, 400]) {
    const seen = windows.slice(0, until);
    const mean = seen.reduce((sum, count) => sum + count, 0) / seen.length;
    expect(Math.max(...seen) / mean).toBeLessThanOrEqual(3);
  }
});
