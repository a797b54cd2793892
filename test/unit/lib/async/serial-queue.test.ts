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
  await new Promise((resolve) => setImmediate(resolve));
  expect(done).toEqual([]);
  first.resolve(undefined);
  expect(await results).toMatchObject([{ status: "fulfilled" }, { reason: { message: "broken" } }, { value: 3 }]);
  expect(done).toEqual(["slow", "quick"]);
});
