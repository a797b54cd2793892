// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { orAborted, runTasks, startTask, untilAborted } from "../../../../src/lib/async/tasks.ts";

test("the first task to end stops the rest, and its failure is thrown after all have ended", async () => {
  const ended: string[] = [];
  const stop = new AbortController();
  const run = runTasks(stop.signal, [
    async (signal) => {
      await untilAborted(signal);
      ended.push("rest");
    },
    () => Promise.reject(new Error("broke")),
  ]);
  await expect(run).rejects.toThrow("broke");
  expect(ended).toEqual(["rest"]);
});

test("an end that was asked for is no failure", async () => {
  const stop = new AbortController();
  const run = runTasks(stop.signal, [
    async (signal) => {
      await untilAborted(signal);
      throw new Error("stopped");
    },
  ]);
  stop.abort();
  await run;
});

test("disposing a task waits for its end, twice without harm; a failure of its own is reported", async () => {
  const failures: unknown[] = [];
  const task = startTask(
    async (signal) => {
      await untilAborted(signal);
      throw new Error("at the end");
    },
    (error) => failures.push(error),
  );
  await task[Symbol.asyncDispose]();
  await task[Symbol.asyncDispose]();
  expect(failures).toEqual([]);

  await startTask(
    () => Promise.reject(new Error("lost")),
    (error) => failures.push(error),
  )[Symbol.asyncDispose]();
  await Promise.resolve();
  expect(failures).toHaveLength(0);
});

test("work is given up when the signal aborts", async () => {
  const stop = new AbortController();
  const never = new Promise<string>(() => undefined);
  const waiting = orAborted(never, stop.signal);
  stop.abort(new Error("given up"));
  await expect(waiting).rejects.toThrow("given up");
  await expect(orAborted(Promise.resolve("done"), new AbortController().signal)).resolves.toBe("done");
});
