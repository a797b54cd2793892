// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { Permits } from "../../../src/status/permits.ts";

const never = new AbortController().signal;

test("as many as there are permits go on, the others in the order in which they came", async () => {
  const permits = new Permits(2);
  const first = await permits.acquire(never);
  await permits.acquire(never);
  const went: string[] = [];
  const third = permits.acquire(never).then((permit) => {
    went.push("third");
    return permit;
  });
  void permits.acquire(never).then(() => went.push("fourth"));
  await Promise.resolve();
  expect(went).toEqual([]);
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  (await third)[Symbol.dispose]();
  await Promise.resolve();
  expect(went).toEqual(["third", "fourth"]);
});

test("whoever gives up waiting takes no permit with it", async () => {
  const permits = new Permits(1);
  const first = await permits.acquire(never);
  const gone = new AbortController();
  const waiting = permits.acquire(gone.signal);
  gone.abort();
  await expect(waiting).rejects.toThrow("nobody waits");
  await expect(permits.acquire(gone.signal)).rejects.toThrow("nobody waits");
  first[Symbol.dispose]();
  await expect(permits.acquire(never)).resolves.toBeDefined();
});
