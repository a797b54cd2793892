// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { createFailoverClient } from "../../../src/ca/failover.ts";
import type { CaClient } from "../../../src/ca/index.ts";
import { untilAborted } from "../../../src/lib/async/tasks.ts";
import type { ResponseCheck, SignedChain, SigningRequest } from "../../../src/model/signing.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { signingRequest, unchecked } from "../../support/signing.ts";
import { testLog } from "../../support/test-log.ts";
import { testBudgets } from "../../support/budgets.ts";

const never = new AbortController().signal;

class Member implements CaClient {
  readonly supportsHedging = false;
  readonly name: string;
  failure: Error | undefined;
  calls = 0;

  constructor(name: string) {
    this.name = name;
  }

  async sign<T>(_request: SigningRequest, check: ResponseCheck<T>): Promise<T> {
    this.calls++;
    await Promise.resolve();
    if (this.failure !== undefined) throw this.failure;
    return check({ chainPem: `leaf by ${this.name}`, rootsPem: `root of ${this.name}` });
  }

  untilChanged(signal: AbortSignal): Promise<void> {
    return untilAborted(signal);
  }

  [Symbol.asyncDispose](): Promise<void> {
    return Promise.resolve();
  }
}

function setUp() {
  const clock = new FakeClock();
  const { log, records } = testLog();
  const [first, second] = [new Member("first"), new Member("second")];
  const members = [first, second].map((client) => ({ name: client.name, client }));
  const both = createFailoverClient(members, 30_000, { clock, log, budgets: testBudgets() });
  return {
    clock,
    records,
    first,
    second,
    sign: (check = unchecked) => both.sign(signingRequest("csr", 1), check, never),
  };
}

describe("several CAs in order", () => {
  test("the first signs while it works; the second is left alone", async () => {
    const { first, second, sign } = setUp();
    expect(await sign()).toMatchObject({ chainPem: "leaf by first" });
    expect([first.calls, second.calls]).toEqual([1, 0]);
  });

  test("the second is called only when the first has failed for longer than the set time", async () => {
    const { clock, first, second, sign, records } = setUp();
    first.failure = new Error("down");
    await expect(sign()).rejects.toThrow("down");
    await clock.advance(20_000);
    await expect(sign()).rejects.toThrow("down");
    expect(second.calls).toBe(0);
    await clock.advance(11_000);
    expect(await sign()).toMatchObject({ chainPem: "leaf by second" });
    expect(records.map((record) => record.message)).toContain("CA keeps failing; calling the next CA");
  });

  test("the roots of both are trusted from then on, also when the first is back", async () => {
    const { clock, first, sign } = setUp();
    await sign();
    first.failure = new Error("down");
    await expect(sign()).rejects.toThrow("down");
    await clock.advance(31_000);
    expect(await sign()).toMatchObject({ rootsPem: "root of second", otherRootsPem: "root of first" });
    first.failure = undefined;
    expect(await sign()).toMatchObject({ rootsPem: "root of first", otherRootsPem: "root of second" });
  });

  test("a CA that failed is called first again at the next attempt", async () => {
    const { clock, first, second, sign, records } = setUp();
    first.failure = new Error("down");
    await expect(sign()).rejects.toThrow("down");
    await clock.advance(31_000);
    expect(await sign()).toMatchObject({ chainPem: "leaf by second" });
    expect(await sign()).toMatchObject({ chainPem: "leaf by second" });
    expect([first.calls, second.calls]).toEqual([3, 2]);
    first.failure = undefined;
    expect(await sign()).toMatchObject({ chainPem: "leaf by first" });
    expect([first.calls, second.calls]).toEqual([4, 2]);
    expect(records.map((record) => record.message)).toContain("CA recovered");
  });

  test("a response that fails its check counts as a failure", async () => {
    const { clock, first, second, sign } = setUp();
    const check = (response: SignedChain): SignedChain => {
      if (response.chainPem === "leaf by first") throw new Error("wrong identity");
      return response;
    };
    await expect(sign(check)).rejects.toThrow("wrong identity");
    await clock.advance(31_000);
    expect(await sign(check)).toMatchObject({ chainPem: "leaf by second" });
    expect([first.calls, second.calls]).toEqual([2, 1]);
  });

  test("when all fail, the first CA's failure is reported", async () => {
    const { clock, first, second, sign } = setUp();
    first.failure = new Error("first is down");
    second.failure = new Error("second is down");
    await expect(sign()).rejects.toThrow("first is down");
    await clock.advance(31_000);
    await expect(sign()).rejects.toThrow("first is down");
    expect(second.calls).toBe(1);
  });
});
