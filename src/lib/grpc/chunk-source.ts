// SPDX-License-Identifier: Apache-2.0
import type { Http2Stream } from "node:http2";

/** What is read ahead of the reader before the peer is held back by flow control. */
const readAheadBytes = 64 * 1024;

/**
 * The bytes of an HTTP/2 stream, pulled. While nobody asks for more, the stream is paused, so that the peer's window
 * runs out and what is kept here is bounded.
 */
export class ChunkSource {
  readonly #stream: Http2Stream;
  readonly #chunks: Uint8Array[] = [];
  #keptBytes = 0;
  #ended = false;
  #closed = false;
  #discarding = false;
  #wake: (() => void) | undefined;

  constructor(stream: Http2Stream) {
    this.#stream = stream;
    stream.on("data", (chunk: Uint8Array) => {
      if (this.#discarding) return;
      this.#chunks.push(chunk);
      this.#keptBytes += chunk.length;
      if (this.#keptBytes >= readAheadBytes) stream.pause();
      this.#notify();
    });
    stream.on("end", () => {
      this.#ended = true;
      this.#notify();
    });
    stream.on("close", () => {
      this.#closed = true;
      this.#notify();
    });
  }

  /**
   * The next bytes as they came.
   * @returns `"end"` when the peer has finished its side, `"closed"` when the stream is gone before that
   */
  async next(): Promise<Uint8Array | "end" | "closed"> {
    for (;;) {
      const chunk = this.#chunks.shift();
      if (chunk !== undefined) {
        this.#keptBytes -= chunk.length;
        return chunk;
      }
      if (this.#ended) return "end";
      if (this.#closed) return "closed";
      const { promise, resolve } = Promise.withResolvers<undefined>();
      this.#wake = () => {
        resolve(undefined);
      };
      this.#stream.resume();
      await promise;
    }
  }

  /** Reads on and drops everything, so that the stream can come to its end. */
  discard(): void {
    this.#discarding = true;
    this.#chunks.length = 0;
    this.#stream.resume();
  }

  #notify(): void {
    const wake = this.#wake;
    this.#wake = undefined;
    wake?.();
  }
}
