// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { signHedged } from "../../../src/cert/hedged-signing.ts";
import type { SignedChain } from "../../../src/model/signing.ts";
import { FakeClock } from "../../support/fake-clock.ts";

interface Call {
  readonly atMs: number;
  readonly signal: AbortSignal;
  readonly answer: PromiseWithResolvers<SignedChain>;
}

function setUp() {
  const clock = new FakeClock();
  const calls: Call[] = [];
  const stop = new AbortController();
  const result = signHedged(
    (signal) => {
      const answer = Promise.withResolvers<SignedChain>();
      calls.push({ atMs: clock.monotonicMs(), signal, answer });
      return answer.promise;
    },
    clock,
    stop.signal,
  );
  result.catch(() => undefined);
  return { clock, calls, result };
}

const chain = { chainPem: "chain", rootsPem: "roots" };

describe("a call made again while the ones before it hang", () => {
  test("an answer to any of them counts, and the others are aborted", async () => {
    const { clock, calls, result } = setUp();
    await clock.advance(4_000);
    expect(calls.map((call) => call.atMs)).toEqual([0, 2_000, 4_000]);
    calls[1]?.answer.resolve(chain);
    expect(await result).toBe(chain);
    expect(calls.every((call) => call.signal.aborted)).toBe(true);
    await clock.advance(10_000);
    expect(calls).toHaveLength(3);
    expect(clock.pendingDelaysMs).toEqual([]);
  });

  test("a quick answer needs no second call", async () => {
    const { clock, calls, result } = setUp();
    calls[0]?.answer.resolve(chain);
    await result;
    await clock.advance(10_000);
    expect(calls).toHaveLength(1);
  });

  test("a quick failure is told at once; asking again is for the next try", async () => {
    const { clock, calls, result } = setUp();
    calls[0]?.answer.reject(new Error("refused"));
    await expect(result).rejects.toThrow("refused");
    await clock.advance(10_000);
    expect(calls).toHaveLength(1);
  });

  test("one failure among several waits for the others", async () => {
    const { clock, calls, result } = setUp();
    await clock.advance(2_000);
    calls[0]?.answer.reject(new Error("first"));
    await clock.advance(100);
    calls[1]?.answer.resolve(chain);
    expect(await result).toBe(chain);
  });
});
