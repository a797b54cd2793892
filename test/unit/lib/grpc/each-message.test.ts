// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { eachMessage } from "../../../../src/lib/grpc/each-message.ts";
import type { IncomingMessage } from "../../../../src/lib/grpc/message.ts";

async function* messages(count: number): AsyncGenerator<IncomingMessage, void, undefined> {
  for (let length = 1; length <= count; length++) {
    yield await Promise.resolve({ kind: "whole", length, bytes: new Uint8Array(length) });
  }
}

test("messages are handled in order, and other work runs after each sixteen", async () => {
  const lengths: number[] = [];
  const pauses: number[] = [];
  const handle = ({ length }: IncomingMessage): Promise<boolean> => Promise.resolve(lengths.push(length) > 0);
  const giveWay = (): Promise<void> => Promise.resolve(void pauses.push(lengths.length));
  await eachMessage(messages(40), handle, { giveWay });
  expect(lengths).toEqual(Array.from({ length: 40 }, (_, index) => index + 1));
  expect(pauses).toEqual([16, 32]);
});

test("a handler ends the loop by false, and a signal ends the wait for a message", async () => {
  const handled: number[] = [];
  await eachMessage(messages(9), ({ length }) => Promise.resolve(handled.push(length) < 3));
  expect(handled).toEqual([1, 2, 3]);
  const stop = new AbortController();
  const silent = { [Symbol.asyncIterator]: () => ({ next: () => new Promise<never>(() => undefined) }) };
  const ended = eachMessage(silent, () => Promise.resolve(true), { signal: stop.signal });
  const reason = new Error("gone");
  stop.abort(reason);
  await expect(ended).rejects.toBe(reason);
});
