// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { Semaphore } from "../../../../src/lib/async/semaphore.ts";

const never = new AbortController().signal;

test("as many as the semaphore allows proceed, the others in the order of their calls", async () => {
  const semaphore = new Semaphore(2);
  const first = await semaphore.acquire(never);
  await semaphore.acquire(never);
  const proceeded: string[] = [];
  const third = semaphore.acquire(never).then((place) => {
    proceeded.push("third");
    return place;
  });
  void semaphore.acquire(never).then(() => proceeded.push("fourth"));
  await Promise.resolve();
  expect(proceeded).toEqual([]);
  first[Symbol.dispose]();
  first[Symbol.dispose]();
  (await third)[Symbol.dispose]();
  await Promise.resolve();
  expect(proceeded).toEqual(["third", "fourth"]);
});

test("a caller that stops waiting takes no place", async () => {
  const semaphore = new Semaphore(1);
  const first = await semaphore.acquire(never);
  const left = new AbortController();
  const waiting = semaphore.acquire(left.signal);
  left.abort(new Error("the caller has left"));
  await expect(waiting).rejects.toThrow("the caller has left");
  await expect(semaphore.acquire(left.signal)).rejects.toThrow("the caller has left");
  first[Symbol.dispose]();
  await expect(semaphore.acquire(never)).resolves.toBeDefined();
});
