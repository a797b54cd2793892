// SPDX-License-Identifier: Apache-2.0
import { afterEach, expect, test, vi } from "vitest";
import { DeadlineError, deadline, systemClock } from "../../../../src/lib/async/clock.ts";
import { FakeClock } from "../../../support/fake-clock.ts";

afterEach(() => {
  vi.useRealTimers();
});

test("a delay longer than a timer can hold does not end early", async () => {
  vi.useFakeTimers();
  let ended = false;
  const fortyDaysMs = 40 * 86_400_000;
  const delay = systemClock.delay(fortyDaysMs).then(() => {
    ended = true;
  });
  await vi.advanceTimersByTimeAsync(fortyDaysMs - 1);
  expect(ended).toBe(false);
  await vi.advanceTimersByTimeAsync(1);
  await delay;
  expect(ended).toBe(true);
});

test("an aborted delay rejects with the signal's reason and leaves no timer", async () => {
  vi.useFakeTimers();
  const stop = new AbortController();
  const delay = systemClock.delay(1_000, stop.signal);
  stop.abort(new Error("enough"));
  await expect(delay).rejects.toThrow("enough");
  expect(vi.getTimerCount()).toBe(0);
  await expect(systemClock.delay(1, stop.signal)).rejects.toThrow("enough");
});

test("a delay of 0 sets no timer, lets other work run first, and can be aborted", async () => {
  vi.useFakeTimers({ toFake: ["setTimeout"] });
  let isOtherDone = false;
  setImmediate(() => (isOtherDone = true));
  await systemClock.delay(0);
  expect(isOtherDone).toBe(true);
  expect(vi.getTimerCount()).toBe(0);
  const stop = new AbortController();
  const delay = systemClock.delay(0, stop.signal);
  stop.abort(new Error("enough"));
  await expect(delay).rejects.toThrow("enough");
});

test("a deadline aborts after its time, and not once it is disposed", async () => {
  const clock = new FakeClock();
  using early = deadline(clock, 50);
  const disposed = deadline(clock, 50);
  disposed[Symbol.dispose]();
  await clock.advance(50);
  expect(early.signal.reason).toBeInstanceOf(DeadlineError);
  expect(disposed.signal.aborted).toBe(false);
});

test("a deadline passes on its parent's reason", () => {
  const clock = new FakeClock();
  const parent = new AbortController();
  using limited = deadline(clock, 50, parent.signal);
  parent.abort(new Error("stopping"));
  return Promise.resolve().then(async () => {
    await Promise.resolve();
    expect(limited.signal.reason).toMatchObject({ message: "stopping" });
  });
});
