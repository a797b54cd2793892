// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { Turns } from "../../../src/status/turns.ts";

test("of what waits one piece begins in each turn of the event loop, in order", async () => {
  const turns = new Turns();
  const begun: string[] = [];
  const begin = async (name: string): Promise<void> => {
    await turns.next();
    begun.push(name);
  };
  const all = Promise.all(["a", "b", "c"].map(begin));
  // each of these is called once in a turn
  const lengths: number[] = [];
  for (let turn = 0; turn < 3; turn++) {
    await new Promise((resolve) => setImmediate(resolve));
    lengths.push(begun.length);
  }
  await all;
  expect(lengths).toEqual([1, 2, 3]);
  await begin("d");
  expect(begun).toEqual(["a", "b", "c", "d"]);
});
