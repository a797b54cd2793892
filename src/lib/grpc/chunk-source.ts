// SPDX-License-Identifier: Apache-2.0
import type { Http2Session, Http2Stream } from "node:http2";
import { ByteParts } from "../byte-parts.ts";
import { countMessageBytes } from "./control-frames.ts";

/**
 * The number of bytes that are read ahead of the reader before flow control holds the peer back. With less, a message of
 * 20 MB takes a tenth more processor time: the reader is waited for more often.
 */
const readAheadBytes = 256 * 1024;

/**
 * The bytes of an HTTP/2 stream, pulled. They are taken before the stream queues them, as it would keep each frame as
 * an object of its own: a window of frames with one byte each fills the heap. What is kept here takes memory in
 * proportion to its bytes, in frames of any size. When the reader is behind, the peer's window runs out.
 */
export class ChunkSource {
  readonly #stream: Http2Stream;
  readonly #chunks = new ByteParts();
  #isStopped = false;
  #ended = false;
  #closed = false;
  #discarding = false;
  #waiting: ((next: Uint8Array | "end" | "closed") => void) | undefined;

  constructor(stream: Http2Stream) {
    this.#stream = stream;
    const pass = stream.push.bind(stream);
    stream.push = (chunk: Uint8Array | null) => (chunk === null ? pass(chunk) : this.#onFrame(chunk));
    stream.on("end", () => {
      this.#ended = true;
      this.#notify();
    });
    stream.on("close", () => {
      this.#closed = true;
      // a reader that is far behind gets the end of the stream at once
      if (this.#isStopped && !this.#ended) this.#chunks.clear();
      this.#notify();
    });
    stream.resume();
  }

  /**
   * The next bytes.
   * @returns `"end"` when the peer has finished its side, `"closed"` when the stream is gone before that
   */
  next(): Promise<Uint8Array | "end" | "closed"> {
    const received = this.#received();
    if (received !== undefined) return Promise.resolve(received);
    return new Promise((resolve) => {
      this.#waiting = resolve;
      this.#resume();
    });
  }

  #received(): Uint8Array | "end" | "closed" | undefined {
    return this.#chunks.shift() ?? (this.#ended ? "end" : this.#closed ? "closed" : undefined);
  }

  /** Reads and drops the rest, so that the stream can end. */
  discard(): void {
    this.#discarding = true;
    this.#chunks.clear();
    this.#resume();
  }

  /** @returns false to stop the peer when its window has run out */
  #onFrame(chunk: Uint8Array): boolean {
    countFrame(this.#stream.session, chunk.length);
    if (this.#discarding) return true;
    this.#chunks.push(chunk);
    this.#notify();
    this.#isStopped ||= this.#chunks.byteLength >= readAheadBytes;
    return !this.#isStopped;
  }

  #resume(): void {
    if (!this.#isStopped || this.#stream.destroyed) return;
    this.#isStopped = false;
    this.#stream._read(0);
  }

  #notify(): void {
    const waiting = this.#waiting;
    const received = waiting === undefined ? undefined : this.#received();
    if (received === undefined) return;
    this.#waiting = undefined;
    waiting?.(received);
  }
}

/** Frames of one connection in one turn of the event loop. */
interface FrameCount {
  frames: number;
  bytes: number;
}

/** So many frames with so few bytes each are no messages. They take some 50 ms, in which nothing else is done. */
const mostSmallFrames = 8_000;
const smallFrameBytes = 64;
const enhanceYourCalm = 11;
const counts = new WeakMap<Http2Session, FrameCount>();

/** Closes a connection whose peer keeps the event loop busy with frames of a few bytes. */
function countFrame(session: Http2Session | undefined, bytes: number): void {
  if (session === undefined || session.destroyed) return;
  countMessageBytes(session, bytes);
  const count = counts.get(session) ?? startCount(session);
  count.frames++;
  count.bytes += bytes;
  if (count.frames > mostSmallFrames && count.bytes < count.frames * smallFrameBytes) {
    session.destroy(new Error("the peer sends its data in very small frames"), enhanceYourCalm);
  }
}

function startCount(session: Http2Session): FrameCount {
  const count = { frames: 0, bytes: 0 };
  counts.set(session, count);
  setImmediate(() => {
    counts.delete(session);
  });
  return count;
}
