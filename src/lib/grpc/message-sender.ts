// SPDX-License-Identifier: Apache-2.0
import { type Http2Stream, constants } from "node:http2";
import { SerialQueue } from "../async/serial-queue.ts";
import { type MessageWriter, encodeFrame, encodeFrameHeader } from "./message.ts";
import type { UnreadBytes } from "./unread-bytes.ts";

/** Up to here, copying a message behind its prefix costs less than a second write. */
const copyUpToBytes = 8 * 1024;

/** Of a message in chunks, so much is written ahead of the socket: what waits together costs one write. */
const writeAheadBytes = 256 * 1024;

/** Writes messages to an HTTP/2 stream, one after the other, as fast as the peer's flow control lets it. */
export class MessageSender implements MessageWriter {
  readonly #stream: Http2Stream;
  readonly #failure: () => Error;
  readonly #queue = new SerialQueue();
  readonly #unread: UnreadBytes | undefined;
  #unreadBytes = 0;
  #wake: (() => void) | undefined;

  /**
   * @param failure what to throw when the stream is gone
   * @param unread counts what the peer has not read
   */
  constructor(stream: Http2Stream, failure: () => Error, unread?: UnreadBytes) {
    this.#stream = stream;
    this.#failure = failure;
    this.#unread = unread;
    const wake = (): void => {
      this.#wake?.();
    };
    stream.on("drain", wake);
    stream.on("aborted", wake);
    stream.on("close", () => {
      this.#onRead(this.#unreadBytes);
      wake();
    });
  }

  write(message: Uint8Array): Promise<void> {
    return this.#queue.run(() => {
      if (message.length <= copyUpToBytes) this.#put(encodeFrame(message));
      else this.#put(encodeFrameHeader(message.length), message);
      return this.#untilDrained();
    });
  }

  writeChunks(length: number, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    return this.#queue.run(async () => {
      try {
        await this.#putChunks(length, chunks);
      } catch (error) {
        // The peer has received part of a message: only a reset reports that.
        this.#stream.close(constants.NGHTTP2_INTERNAL_ERROR);
        throw error;
      }
    });
  }

  /** Finishes this side after everything that was written before. */
  end(): Promise<void> {
    return this.#queue.run(() => {
      this.#stream.end();
      return Promise.resolve();
    });
  }

  async #putChunks(length: number, chunks: AsyncIterable<Uint8Array>): Promise<void> {
    let leftBytes = length;
    let header: Uint8Array | undefined = encodeFrameHeader(length);
    for await (const chunk of chunks) {
      leftBytes -= chunk.length;
      if (leftBytes < 0) break;
      this.#put(...(header === undefined ? [chunk] : [header, chunk]));
      header = undefined;
      if (this.#stream.writableLength >= writeAheadBytes) await this.#untilDrained();
    }
    if (leftBytes !== 0) throw new Error(`chunks differ from the length of ${String(length)} bytes that was announced`);
    if (header !== undefined) this.#put(header);
    await this.#untilDrained();
  }

  #put(...parts: readonly Uint8Array[]): void {
    this.#assertOpen();
    const stream = this.#stream;
    stream.cork();
    for (const part of parts) {
      stream.write(part, () => {
        this.#onRead(part.length);
      });
    }
    stream.uncork();
    this.#count(parts.reduce((sum, { length }) => sum + length, 0));
  }

  async #untilDrained(): Promise<void> {
    while (this.#stream.writableNeedDrain) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      this.#wake = undefined;
      this.#assertOpen();
    }
  }

  #count(bytes: number): void {
    this.#unreadBytes += bytes;
    this.#unread?.add(bytes);
  }

  /** The socket has the bytes, or the stream is gone: then a write may never be completed. */
  #onRead(bytes: number): void {
    const counted = Math.min(bytes, this.#unreadBytes);
    if (counted === 0) return;
    this.#unreadBytes -= counted;
    this.#unread?.remove(counted);
  }

  #assertOpen(): void {
    if (this.#stream.destroyed || this.#stream.closed || this.#stream.writableEnded) throw this.#failure();
  }
}
