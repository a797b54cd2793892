// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { encodeFrame, readWhole } from "../../../../src/lib/grpc/message.ts";
import { MessageReader } from "../../../../src/lib/grpc/message-reader.ts";
import { GrpcStatus } from "../../../../src/lib/grpc/status.ts";
import { fc } from "../../../support/properties.ts";
import { reachableBytes } from "../../../support/reachable-bytes.ts";

/** A reader over bytes that come in pieces of the given sizes; the last size repeats. */
function readerOf(bytes: Uint8Array, sizes: readonly number[], end: "end" | "closed" = "end"): MessageReader {
  let at = 0;
  let piece = 0;
  const next = (): Promise<Uint8Array | "end" | "closed"> => {
    if (at >= bytes.length) return Promise.resolve(end);
    const size = sizes[Math.min(piece++, sizes.length - 1)] ?? 1;
    const chunk = bytes.subarray(at, at + size);
    at += size;
    return Promise.resolve(chunk);
  };
  return new MessageReader({ next }, { maxBytes: 1_000, chunkAboveBytes: 100 }, () => new Error("gone"));
}

test("messages come out whole however their bytes are cut", async () => {
  const messages = fc.array(fc.uint8Array({ maxLength: 300 }), { maxLength: 8 });
  const sizes = fc.array(fc.integer({ min: 1, max: 400 }), { minLength: 1, maxLength: 20 });
  await fc.assert(
    fc.asyncProperty(messages, sizes, async (sent, cuts) => {
      const received: Buffer[] = [];
      for await (const message of readerOf(Buffer.concat(sent.map(encodeFrame)), cuts)) {
        expect(message.kind).toBe(message.length > 100 ? "chunks" : "whole");
        received.push(Buffer.from(await readWhole(message)));
      }
      expect(received).toEqual(sent.map((message) => Buffer.from(message)));
    }),
  );
});

test("what nobody reads of a message in chunks is passed over", async () => {
  const bytes = Buffer.concat([encodeFrame(Buffer.alloc(500)), encodeFrame(Buffer.from("next"))]);
  const reader = readerOf(bytes, [60]);
  const first = await reader.next();
  if (first?.kind !== "chunks") throw new Error("expected chunks");
  await first.chunks[Symbol.asyncIterator]().next();
  expect(await reader.next()).toMatchObject({ kind: "whole", bytes: Buffer.from("next") });
});

test("a message that was read is not kept while the next one is awaited", async () => {
  const size = 8 * 1024 * 1024;
  const limits = { maxBytes: size, chunkAboveBytes: size };
  const sources = [encodeFrame(Buffer.alloc(size))];
  const next = (): Promise<Uint8Array> => {
    const chunk = sources.pop();
    return chunk === undefined ? new Promise(() => undefined) : Promise.resolve(chunk);
  };
  const messages = new MessageReader({ next }, limits, () => new Error("gone"))[Symbol.asyncIterator]();
  const readOne = async (): Promise<number> => {
    const { value } = await messages.next();
    return value?.length ?? 0;
  };
  const before = reachableBytes();
  expect(await readOne()).toBe(size);
  void readOne();
  await Promise.resolve();
  expect(reachableBytes()).toBeLessThan(before - size / 2);
});

test("an end inside a header or a message is internal", async () => {
  const frame = encodeFrame(Buffer.from("abcdef"));
  for (const length of [1, 4, 5, 8]) {
    const reading = readerOf(frame.subarray(0, length), [100]).next();
    await expect(reading).rejects.toMatchObject({ status: GrpcStatus.internal });
  }
});

test("a stream that is gone gives its failure, also inside a message", async () => {
  const frame = encodeFrame(Buffer.from("abcdef"));
  for (const length of [0, 3, 7]) {
    await expect(readerOf(frame.subarray(0, length), [100], "closed").next()).rejects.toThrow("gone");
  }
});

test("a message above the limit is refused before it is read", async () => {
  const header = Uint8Array.from([0, 0, 0, 4, 0]);
  await expect(readerOf(header, [5]).next()).rejects.toMatchObject({ status: GrpcStatus.resourceExhausted });
});
