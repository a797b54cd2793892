// SPDX-License-Identifier: Apache-2.0
import type { Budget } from "../budget.ts";
import { GrpcError, GrpcStatus } from "./status.ts";

/**
 * A received message. A long one is passed on while it is still arriving; its chunks must be read, or skipped by
 * reading the next message, before the stream yields anything else.
 */
export type IncomingMessage =
  | { readonly kind: "whole"; readonly length: number; readonly bytes: Uint8Array }
  | { readonly kind: "chunks"; readonly length: number; readonly chunks: AsyncIterable<Uint8Array, void, undefined> };

/** What a stream of messages can be written to. Calls are carried out in order. */
export interface MessageWriter {
  /** Resolves when the peer's flow control allows more, not when the message has arrived. */
  write(message: Uint8Array): Promise<void>;
  /** Writes one message of exactly `length` bytes; each chunk is read when flow control allows it. */
  writeChunks(length: number, chunks: AsyncIterable<Uint8Array>): Promise<void>;
}

/** The bytes of a message, whole or in chunks. */
export async function readWhole(message: IncomingMessage): Promise<Uint8Array> {
  if (message.kind === "whole") return message.bytes;
  const bytes = Buffer.allocUnsafe(message.length);
  let at = 0;
  for await (const chunk of message.chunks) {
    bytes.set(chunk, at);
    at += chunk.length;
  }
  return bytes;
}

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
 * @param longest the longest message, in bytes
 * @returns the length of the message that follows, in bytes
 * @throws GrpcError when the message is compressed, which this side never offers, or longer than `longest`
 */
export function parseFrameHeader(header: Uint8Array, longest: number | Budget): number {
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  const flag = view.getUint8(0);
  if (flag === 1) throw new GrpcError(GrpcStatus.unimplemented, "message is compressed; compression is not supported");
  if (flag !== 0) throw new GrpcError(GrpcStatus.internal, `message with the unknown flag ${String(flag)}`);
  const length = view.getUint32(1);
  const text = `message of ${String(length)} bytes`;
  if (typeof longest !== "number") {
    if (!longest.admits(length)) throw new GrpcError(GrpcStatus.resourceExhausted, `${text}: ${longest.text}`);
  } else if (length > longest) {
    throw new GrpcError(GrpcStatus.resourceExhausted, `${text}, at most ${String(longest)} are accepted`);
  }
  return length;
}
