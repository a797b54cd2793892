// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { FairSlots, loopbackPeer, type Slot } from "../../../../src/lib/async/fair-slots.ts";
import { SharedWork } from "../../../../src/lib/async/shared-work.ts";
import { TurnQueue } from "../../../../src/lib/async/turn-queue.ts";
import { testBudgets } from "../../../support/budgets.ts";
import { FakeClock } from "../../../support/fake-clock.ts";

const never = new AbortController().signal;

function start(mostWaiting = 10) {
  const clock = new FakeClock();
  const waiting = testBudgets({ "scrapes-waiting": mostWaiting }).of("scrapes-waiting");
  const slots = new FairSlots({ slots: 2, waiting, fairMs: 2_000, clock });
  const running: { readonly peer: string; readonly slot: Slot }[] = [];
  const rejected: string[] = [];
  const ask = (peer: string, signal = never): void => {
    slots.acquire(peer, signal).then(
      (slot) => running.push({ peer, slot }),
      (error: unknown) => rejected.push(`${peer}: ${error instanceof Error ? error.message : String(error)}`),
    );
  };
  const peers = (): readonly string[] => running.map(({ peer }) => peer);
  return { clock, waiting, slots, running, rejected, ask, peers };
}

test("a caller on loopback does not wait for others, and takes nothing from them", async () => {
  const { clock, ask, peers } = start();
  for (const peer of ["a", "a", "a", loopbackPeer, loopbackPeer, loopbackPeer]) ask(peer);
  await clock.advance(0);
  expect(peers()).toEqual(["a", "a", loopbackPeer, loopbackPeer]);
});

test("the peer with the fewest runs next, however long the queue of another is", async () => {
  const { clock, running, ask, peers } = start();
  for (const peer of ["a", "a", "a", "a", "a", "b"]) ask(peer);
  await clock.advance(0);
  running[0]?.slot[Symbol.dispose]();
  await clock.advance(0);
  expect(peers()).toEqual(["a", "a", "b"]);
});

test("the peer with the most gives way at once; a single one when it has had its share", async () => {
  const { clock, running, ask } = start();
  ask("a");
  ask("a");
  await clock.advance(0);
  ask("b");
  await clock.advance(0);
  expect(running.map(({ slot }) => slot.preempted.aborted)).toEqual([true, false]);
  const single = start();
  single.ask("a");
  single.ask("b");
  single.ask("a");
  await single.clock.advance(1_000);
  expect(single.running.some(({ slot }) => slot.preempted.aborted)).toBe(false);
  await single.clock.advance(1_500);
  expect(single.running.map(({ slot }) => slot.preempted.aborted)).toEqual([true, false]);
  single.slots[Symbol.dispose]();
});

test("when too many wait, the oldest of the peer with the most is rejected with the limit's name", async () => {
  const { clock, waiting, rejected, ask } = start(2);
  const gone = new AbortController();
  for (const peer of ["a", "a", "b"]) ask(peer);
  ask("a", gone.signal);
  ask("a");
  await clock.advance(0);
  expect(rejected).toEqual(["a: limit scrapes-waiting of 2 items is reached"]);
  gone.abort(new Error("left"));
  await clock.advance(0);
  expect(waiting.used).toBeLessThanOrEqual(2);
});

test("equal requests share work, which stops when the last caller has left", async () => {
  const shared = new SharedWork<string>();
  const done = Promise.withResolvers<string>();
  const stops: AbortSignal[] = [];
  const ask = (signal: AbortSignal) =>
    shared.run(
      "key",
      (stop) => {
        stops.push(stop);
        return done.promise;
      },
      signal,
    );
  const [one, two] = [new AbortController(), new AbortController()];
  const asked = [ask(one.signal), ask(two.signal)].map((result) => result.catch((error: unknown) => String(error)));
  one.abort(new Error("left"));
  expect([await asked[0], stops.length, stops[0]?.aborted]).toEqual(["Error: left", 1, false]);
  two.abort(new Error("left"));
  await asked[1];
  expect(stops[0]?.aborted).toBe(true);
  const again = ask(never);
  done.resolve("result");
  expect([await again, stops.length]).toEqual(["result", 2]);
});

test("one turn of the event loop starts one; loopback first, then the peers in turn", async () => {
  const turns = new TurnQueue();
  const started: string[] = [];
  const peers = ["a", "a", "b", loopbackPeer, "b"];
  await Promise.all(peers.map((peer) => turns.turn(peer).then(() => started.push(peer))));
  expect(started).toEqual([loopbackPeer, "a", "b", "a", "b"]);
});

test("work in turns waits while something more urgent happens, but not for ever", async () => {
  const nextTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
  const turns = new TurnQueue();
  let started = 0;
  const start = async (): Promise<void> => {
    await turns.turn("a");
    started++;
  };
  const first = start();
  for (let turn = 0; turn < 10; turn++) {
    turns.delay();
    await nextTurn();
  }
  expect(started).toBe(0);
  await first;
  expect(started).toBe(1);
  void start();
  for (let turn = 0; turn < 30; turn++) {
    turns.delay();
    await nextTurn();
  }
  expect(started).toBe(2);
});
