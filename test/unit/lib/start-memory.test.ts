// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { releaseStartMemory } from "../../../src/lib/start-memory.ts";
import { FakeClock } from "../../support/fake-clock.ts";

test("memory of the start is given back a second after it, and once", async () => {
  const clock = new FakeClock();
  const done = releaseStartMemory(clock, new AbortController().signal);
  expect(clock.pendingDelaysMs).toEqual([1_000]);
  await clock.advance(1_000 + 3 * 2_000);
  await done;
  expect(clock.pendingDelaysMs).toEqual([]);
});

test("an agent that stops before is not held up", async () => {
  const stop = new AbortController();
  const done = releaseStartMemory(new FakeClock(), stop.signal);
  stop.abort(new Error("stopped"));
  await expect(done).rejects.toThrow("stopped");
});
