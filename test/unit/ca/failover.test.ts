// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import type { CaAnswer, CaClient } from "../../../src/ca/index.ts";
import { createFailoverClient } from "../../../src/ca/failover.ts";
import { untilAborted } from "../../../src/lib/async/tasks.ts";
import { caRequest } from "../../support/ca-request.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { testLog } from "../../support/test-log.ts";

const never = new AbortController().signal;

class Member implements CaClient {
  readonly mayBeAskedTwice = false;
  readonly name: string;
  failure: Error | undefined;
  calls = 0;

  constructor(name: string) {
    this.name = name;
  }

  sign(): Promise<CaAnswer> {
    this.calls++;
    if (this.failure !== undefined) return Promise.reject(this.failure);
    return Promise.resolve({ chainPem: `leaf by ${this.name}`, rootsPem: `root of ${this.name}` });
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
  const both = createFailoverClient(members, 30_000, { clock, log });
  return {
    clock,
    records,
    first,
    second,
    sign: (check = () => undefined) => both.sign(caRequest("csr", 1, { check }), never),
  };
}

describe("several CAs in order", () => {
  test("the first signs while it works; the second is left alone", async () => {
    const { first, second, sign } = setUp();
    expect(await sign()).toMatchObject({ chainPem: "leaf by first" });
    expect([first.calls, second.calls]).toEqual([1, 0]);
  });

  test("the second is asked only when the first has failed for longer than the set time", async () => {
    const { clock, first, second, sign, records } = setUp();
    first.failure = new Error("down");
    await expect(sign()).rejects.toThrow("down");
    await clock.advance(20_000);
    await expect(sign()).rejects.toThrow("down");
    expect(second.calls).toBe(0);
    await clock.advance(11_000);
    expect(await sign()).toMatchObject({ chainPem: "leaf by second" });
    expect(records.map((record) => record.message)).toContain("the CA has failed for too long; asking the next");
  });

  test("the roots of both are handed out from then on, also when the first is back", async () => {
    const { clock, first, sign } = setUp();
    await sign();
    first.failure = new Error("down");
    await expect(sign()).rejects.toThrow("down");
    await clock.advance(31_000);
    expect((await sign()).rootsPem).toBe("root of second\nroot of first");
    first.failure = undefined;
    expect((await sign()).rootsPem).toBe("root of first\nroot of second");
  });

  test("an answer of no use counts as a failure", async () => {
    const { clock, first, second, sign } = setUp();
    const check = (answer?: CaAnswer): undefined => {
      if (answer?.chainPem === "leaf by first") throw new Error("wrong identity");
      return undefined;
    };
    await expect(sign(check)).rejects.toThrow("wrong identity");
    await clock.advance(31_000);
    expect(await sign(check)).toMatchObject({ chainPem: "leaf by second" });
    expect([first.calls, second.calls]).toEqual([2, 1]);
  });

  test("when all fail, the first one's failure is told", async () => {
    const { clock, first, second, sign } = setUp();
    first.failure = new Error("first is down");
    second.failure = new Error("second is down");
    await expect(sign()).rejects.toThrow("first is down");
    await clock.advance(31_000);
    await expect(sign()).rejects.toThrow("first is down");
    expect(second.calls).toBe(1);
  });
});
