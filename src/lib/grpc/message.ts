// SPDX-License-Identifier: Apache-2.0

/**
 * A message as it comes in. One above a set size is handed on while it still arrives; its chunks must be read, or
 * given up by asking for the next message, before anything else comes from the stream.
 */
export type IncomingMessage =
  | { readonly kind: "whole"; readonly length: number; readonly bytes: Uint8Array }
  | { readonly kind: "chunks"; readonly length: number; readonly chunks: AsyncIterable<Uint8Array, void, undefined> };

/** What a stream of messages can be written to. Calls are carried out in order; each waits for its turn. */
export interface MessageWriter {
  /** Resolves when the peer's flow control has room for more, not when the message has arrived. */
  write(message: Uint8Array): Promise<void>;
  /** Writes one message of exactly `length` bytes; each chunk is asked for when there is room for it. */
  writeChunks(length: number, chunks: AsyncIterable<Uint8Array>): Promise<void>;
}

/** The bytes of a message, however it comes. */
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
