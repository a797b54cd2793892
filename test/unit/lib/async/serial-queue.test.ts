// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { SerialQueue } from "../../../../src/lib/async/serial-queue.ts";

test("work is done in the order in which it was asked for, and a failure is told to its own asker alone", async () => {
  const turns = new SerialQueue();
  const done: string[] = [];
  const first = Promise.withResolvers<undefined>();
  const results = Promise.allSettled([
    turns.run(async () => {
      await first.promise;
      done.push("slow");
    }),
    turns.run(() => Promise.reject(new Error("broken"))),
    turns.run(() => {
      done.push("quick");
      return Promise.resolve(3);
    }),
  ]);
  await nextTurn();
  expect(done).toEqual([]);
  first.resolve(undefined);
  expect(await results).toMatchObject([{ status: "fulfilled" }, { reason: { message: "broken" } }, { value: 3 }]);
  expect(done).toEqual(["slow", "quick"]);
});

function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}

test("work that waits for a turn of the event loop starts one piece in each turn, in order", async () => {
  const queue = new SerialQueue();
  const started: string[] = [];
  const start = async (name: string): Promise<void> => {
    await queue.run(nextTurn);
    started.push(name);
  };
  const all = Promise.all(["a", "b", "c"].map(start));
  await Promise.resolve();
  // each of these resolves once in a turn
  const lengths: number[] = [];
  for (let turn = 0; turn < 3; turn++) {
    await nextTurn();
    lengths.push(started.length);
  }
  await all;
  expect(lengths).toEqual([1, 2, 3]);
  await start("d");
  expect(started).toEqual(["a", "b", "c", "d"]);
});
