// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import type { Call } from "../../../../src/status/call.ts";
import { hasQueryFlag, ReadinessWait } from "../../../../src/status/readiness/readiness-route.ts";
import { testBudgets } from "../../../support/budgets.ts";
import { FakeClock } from "../../../support/fake-clock.ts";

function start(budgets = testBudgets()) {
  const clock = new FakeClock();
  const state = { ready: false, ending: undefined as string | undefined, looks: 0 };
  const judge = {
    judge: () => {
      state.looks++;
      return Promise.resolve({ ready: state.ready, obstacles: [] });
    },
  };
  const wait = new ReadinessWait({ judge, clock, budgets, terminating: () => state.ending });
  const ask = (prefer: string, from = "127.0.0.1") => {
    const gone = new AbortController();
    const request = { headers: { prefer }, socket: { remoteAddress: from, localAddress: "127.0.0.1" } };
    const asked = { over: false, hangUp: gone.abort.bind(gone) };
    void wait.untilReady({ request, signal: gone.signal } as unknown as Pick<Call, "request" | "signal">).then(() => {
      asked.over = true;
    });
    return asked;
  };
  return { clock, state, ask };
}

test("who waits is answered within 10 ms of readiness, and all share the looks", async () => {
  const { clock, state, ask } = start();
  const waiting = [ask("wait=60"), ask("respond-async, wait=60"), ask('handling=lenient; wait="60"')];
  await clock.advance(1_000);
  expect(waiting.map(({ over }) => over)).toEqual([false, false, false]);
  expect(state.looks).toBeLessThanOrEqual(102);
  state.ready = true;
  await clock.advance(10);
  expect(waiting.map(({ over }) => over)).toEqual([true, true, true]);
});

test("nobody looks while nobody waits", async () => {
  const { clock, state, ask } = start();
  const asked = ask("wait=60");
  await clock.advance(100);
  asked.hangUp();
  await clock.advance(20);
  expect(asked.over).toBe(true);
  const { looks } = state;
  await clock.advance(10_000);
  expect([state.looks, clock.pendingDelaysMs]).toEqual([looks, []]);
});

test("a wait ends with the caller's time, and with the agent", async () => {
  const { clock, state, ask } = start();
  const short = ask("wait=2");
  const long = ask("wait=60");
  await clock.advance(2_000);
  expect([short.over, long.over]).toEqual([true, false]);
  state.ending = "received SIGTERM";
  await clock.advance(10);
  expect(long.over).toBe(true);
});

test("nobody waits for longer than five minutes", async () => {
  const { clock, ask } = start();
  const asked = ask("wait=999999");
  await clock.advance(299_000);
  expect(asked.over).toBe(false);
  await clock.advance(1_000);
  expect(asked.over).toBe(true);
});

test.each([
  ["return=minimal", "127.0.0.1"],
  ["wait=soon", "127.0.0.1"],
  ["await=60", "127.0.0.1"],
  ["wait=60", "10.1.2.3"],
])("%s from %s is answered at once", async (prefer, from) => {
  const { clock, ask } = start();
  const asked = ask(prefer, from);
  await clock.advance(0);
  expect(asked.over).toBe(true);
});

test("no more wait than the budget has places, and a place is free again when its wait ends", async () => {
  const budgets = testBudgets({ "readiness-waits": 3 });
  const { clock, ask } = start(budgets);
  const asked = Array.from({ length: 5 }, () => ask("wait=60"));
  await clock.advance(0);
  expect(asked.map(({ over }) => over)).toEqual([false, false, false, true, true]);
  expect(budgets.facts().find(({ name }) => name === "readiness-waits")).toMatchObject({ used: 3, spentTotal: 2 });
  asked[0]?.hangUp();
  await clock.advance(0);
  const next = ask("wait=60");
  await clock.advance(0);
  expect(next.over).toBe(false);
});

test("a flag in a query counts with and without a value", () => {
  expect(
    ["verbose", "a=1&verbose", "verbose=true", "nonverbose", ""].map((query) => hasQueryFlag(query, "verbose")),
  ).toEqual([true, true, true, false, false]);
});
