// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { encodeFrame, encodeFrameHeader, parseFrameHeader } from "../../../../src/lib/grpc/message.ts";
import { GrpcStatus } from "../../../../src/lib/grpc/status.ts";

test("a frame is a zero byte, the length in four bytes, and the message", () => {
  expect([...encodeFrame(Buffer.from("abc"))]).toEqual([0, 0, 0, 0, 3, 97, 98, 99]);
});

test("a header gives back the length it was made with", () => {
  for (const length of [0, 1, 65_536, 2 ** 32 - 1]) {
    expect(parseFrameHeader(encodeFrameHeader(length), Infinity)).toBe(length);
  }
});

test("a message too long for the format is a fault of the caller", () => {
  expect(() => encodeFrameHeader(2 ** 32)).toThrow(RangeError);
});

test("a compressed message is unimplemented, an unknown flag internal, a long one resource exhausted", () => {
  const parse = (bytes: number[]) => () => parseFrameHeader(Uint8Array.from(bytes), 10);
  expect(parse([1, 0, 0, 0, 1])).toThrow(expect.objectContaining({ status: GrpcStatus.unimplemented }));
  expect(parse([7, 0, 0, 0, 1])).toThrow(expect.objectContaining({ status: GrpcStatus.internal }));
  expect(parse([0, 0, 0, 0, 11])).toThrow(expect.objectContaining({ status: GrpcStatus.resourceExhausted }));
});
