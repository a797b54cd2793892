// SPDX-License-Identifier: Apache-2.0
import type { Http2Session, Http2Stream } from "node:http2";
import { ByteParts } from "../byte-parts.ts";
import { countMessageBytes } from "./control-frames.ts";

/** The number of bytes that are read ahead of the reader before flow control holds the peer back. */
const readAheadBytes = 64 * 1024;

/**
 * The bytes of an HTTP/2 stream, pulled. When the reader is behind, the stream is paused, so that the peer's window runs
 * out. What is kept here takes memory in proportion to its bytes, in frames of any size.
 */
export class ChunkSource {
  readonly #stream: Http2Stream;
  readonly #chunks = new ByteParts();
  /** What the peer was still allowed to send when the stream was paused. */
  readonly #late = new ByteParts();
  readonly #pass: Http2Stream["push"];
  #ended = false;
  #closed = false;
  #discarding = false;
  #waiting: ((next: Uint8Array | "end" | "closed") => void) | undefined;

  constructor(stream: Http2Stream) {
    this.#stream = stream;
    this.#pass = stream.push.bind(stream);
    stream.push = (chunk: Uint8Array | null) => this.#onFrame(chunk);
    stream.on("data", (chunk: Uint8Array) => {
      if (this.#discarding) return;
      this.#chunks.push(chunk);
      if (this.#chunks.byteLength >= readAheadBytes) stream.pause();
      this.#notify();
    });
    stream.on("end", () => {
      this.#ended = true;
      this.#notify();
    });
    stream.on("close", () => {
      this.#closed = true;
      this.#late.clear();
      this.#notify();
    });
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
    this.#late.clear();
    this.#stream.resume();
  }

  /**
   * Each frame's data, before the stream has it. While paused the stream would keep each frame as an object of its own:
   * a window of frames with one byte each fills the heap.
   */
  #onFrame(chunk: Uint8Array | null): boolean {
    if (chunk !== null) countFrame(this.#stream.session, chunk.length);
    if (chunk !== null && this.#stream.isPaused()) {
      this.#late.push(chunk);
      return false;
    }
    this.#passLate();
    return this.#pass(chunk);
  }

  #resume(): void {
    this.#passLate();
    this.#stream.resume();
  }

  #passLate(): void {
    if (this.#stream.destroyed) return;
    // joined to one, a window of 1 MB would be copied and allocated once more
    for (let part = this.#late.shift(); part !== undefined; part = this.#late.shift()) this.#pass(part);
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
