// SPDX-License-Identifier: Apache-2.0
import { EventEmitter } from "node:events";
import { expect, test } from "vitest";
import { startReaping } from "../../../src/host/orphans.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { testLog } from "../../support/test-log.ts";

function reaping(ended: number[], own: readonly number[] = []) {
  const clock = new FakeClock();
  const signals = new EventEmitter();
  const reaped: number[] = [];
  const calls = {
    nextExitedChild: () => ended[0],
    reap: (pid: number) => {
      reaped.push(pid);
      ended.splice(ended.indexOf(pid), 1);
    },
  };
  const deps = { log: testLog().log, clock, calls, isOwnChild: (pid: number) => own.includes(pid), signals };
  return { clock, signals, reaped, ended, start: () => startReaping(deps) };
}

test("what was adopted before the start is reaped at once, later ends after the runtime has looked at its own", async () => {
  const { clock, signals, reaped, ended, start } = reaping([11]);
  await using running = start();
  expect(running).toBeDefined();
  await clock.advance(0);
  expect(reaped).toEqual([11]);
  ended.push(12, 13);
  signals.emit("SIGCHLD");
  await clock.advance(49);
  expect(reaped).toEqual([11]);
  await clock.advance(1);
  expect(reaped).toEqual([11, 12, 13]);
});

test("a child of the runtime's own is left to it", async () => {
  const { clock, signals, reaped, ended, start } = reaping([], [7]);
  await using running = start();
  expect(running).toBeDefined();
  await clock.advance(0);
  ended.push(7, 14);
  signals.emit("SIGCHLD");
  await clock.advance(50);
  expect(reaped).toEqual([]);
  ended.shift();
  signals.emit("SIGCHLD");
  await clock.advance(50);
  expect(reaped).toEqual([14]);
});

test("an end whose signal was lost is found within half a minute", async () => {
  const { clock, reaped, ended, start } = reaping([]);
  await using running = start();
  expect(running).toBeDefined();
  await clock.advance(0);
  ended.push(15);
  await clock.advance(30_050);
  expect(reaped).toEqual([15]);
});

test("a thousand ends are taken in turns, and disposing leaves nothing waiting", async () => {
  const { clock, signals, reaped, start } = reaping(Array.from({ length: 1_000 }, (_, index) => index + 100));
  const running = start();
  for (let turn = 0; turn < 6; turn++) await clock.advance(0);
  expect(reaped).toHaveLength(1_000);
  await running[Symbol.asyncDispose]();
  await running[Symbol.asyncDispose]();
  expect(clock.pendingDelaysMs).toEqual([]);
  expect(signals.listenerCount("SIGCHLD")).toBe(0);
});
