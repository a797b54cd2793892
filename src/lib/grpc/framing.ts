// SPDX-License-Identifier: Apache-2.0
import { GrpcError, GrpcStatus } from "./status.ts";

/** One byte for the compressed flag, four for the length. Source: gRPC core, doc/PROTOCOL-HTTP2.md, Length-Prefixed-Message */
export const frameHeaderBytes = 5;

const longestMessageBytes = 2 ** 32 - 1;

/** The prefix of a message of `length` bytes that is not compressed. */
export function encodeFrameHeader(length: number): Uint8Array {
  if (length > longestMessageBytes) throw new RangeError(`a message of ${String(length)} bytes has no gRPC frame`);
  const header = Buffer.allocUnsafe(frameHeaderBytes);
  header.writeUInt8(0, 0);
  header.writeUInt32BE(length, 1);
  return header;
}

/** A whole message with its prefix, in one buffer. */
export function encodeFrame(message: Uint8Array): Uint8Array {
  const frame = Buffer.allocUnsafe(frameHeaderBytes + message.length);
  frame.set(encodeFrameHeader(message.length));
  frame.set(message, frameHeaderBytes);
  return frame;
}

/**
 * Reads a message's prefix.
 * @returns the length of the message that follows, in bytes
 * @throws GrpcError when the message is compressed, which this side never offers, or longer than `maxBytes`
 */
export function parseFrameHeader(header: Uint8Array, maxBytes: number): number {
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  const flag = view.getUint8(0);
  if (flag === 1)
    throw new GrpcError(GrpcStatus.unimplemented, "message is compressed; no compression is supported here");
  if (flag !== 0) throw new GrpcError(GrpcStatus.internal, `message with the unknown flag ${String(flag)}`);
  const length = view.getUint32(1);
  if (length > maxBytes) {
    const sizes = `${String(length)} bytes, at most ${String(maxBytes)} are accepted`;
    throw new GrpcError(GrpcStatus.resourceExhausted, `message of ${sizes}`);
  }
  return length;
}
