// SPDX-License-Identifier: Apache-2.0
import type { Http2Stream } from "node:http2";
import type { Budget } from "../budget.ts";
import { type IncomingMessage, frameHeaderBytes, parseFrameHeader } from "./message.ts";
import { GrpcError, GrpcStatus } from "./status.ts";

/**
 * Flow control windows for both roles. HTTP/2's own connection window of 64 KiB throttles large configuration
 * pushes; a stream's window is also what a stalled reader can cost.
 */
export const windowSettings = { streamBytes: 1024 * 1024, connectionBytes: 2 * 1024 * 1024 } as const;

/** The number of bytes that are read ahead of the reader before flow control holds the peer back. */
const readAheadBytes = 64 * 1024;
/** The same for frames of a few bytes, each of which costs more memory than it has. */
const readAheadChunks = 1_024;
/** Smaller chunks are joined: a reader has a fixed cost for each. */
const smallChunkBytes = 256;

/**
 * The bytes of an HTTP/2 stream, pulled. Without a pending read the stream is paused, so that the peer's window runs
 * out and the buffer here is bounded.
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
      if (this.#keptBytes >= readAheadBytes || this.#chunks.length >= readAheadChunks) stream.pause();
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
      const areSmall = this.#keptBytes < smallChunkBytes * this.#chunks.length;
      const chunk = areSmall ? Buffer.concat(this.#chunks.splice(0)) : this.#chunks.shift();
      if (chunk !== undefined && chunk.length > 0) {
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

  /** Reads and drops the rest, so that the stream can end. */
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

/** The source of a reader's bytes: a `ChunkSource`, or a list in a test. */
interface ByteSource {
  next(): Promise<Uint8Array | "end" | "closed">;
}

export interface ReaderLimits {
  /** A longer message fails with RESOURCE_EXHAUSTED. */
  readonly maxBytes: number | Budget;
  /** A longer message is handed on in chunks. */
  readonly chunkAboveBytes: number;
  /** Parts of messages that are not complete, of all readers together. */
  readonly partialBytes?: Budget;
}

const nothing = new Uint8Array(0);

/** Cuts a stream of bytes into messages. One reader at a time. */
export class MessageReader {
  readonly #source: ByteSource;
  readonly #limits: ReaderLimits;
  readonly #failure: () => Error;
  #rest: Uint8Array = nothing;
  /** Bytes of the current message that are not read yet. */
  #openBytes = 0;

  /** @param failure what to throw when the stream is gone before its end */
  constructor(source: ByteSource, limits: ReaderLimits, failure: () => Error) {
    this.#source = source;
    this.#limits = limits;
    this.#failure = failure;
  }

  /**
   * The next message. The unread rest of a message in chunks is skipped.
   * @returns undefined when the peer has finished
   * @throws GrpcError for a malformed or too long message, and the failure of the stream
   */
  async next(): Promise<IncomingMessage | undefined> {
    while (this.#openBytes > 0) await this.#take();
    const header = await this.#header();
    if (header === undefined) return undefined;
    const length = parseFrameHeader(header, this.#limits.maxBytes);
    this.#openBytes = length;
    if (length > this.#limits.chunkAboveBytes) return { kind: "chunks", length, chunks: this.#chunks() };
    return { kind: "whole", length, bytes: await this.#whole() };
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<IncomingMessage, void, undefined> {
    for (let message = await this.next(); message !== undefined; message = await this.next()) yield message;
  }

  async #header(): Promise<Uint8Array | undefined> {
    if (this.#rest.length === 0 && !(await this.#more())) return undefined;
    while (this.#rest.length < frameHeaderBytes) {
      const before = this.#rest;
      this.#rest = nothing;
      if (!(await this.#more())) throw cutOff();
      this.#rest = Buffer.concat([before, this.#rest]);
    }
    const header = this.#rest.subarray(0, frameHeaderBytes);
    this.#rest = this.#rest.subarray(frameHeaderBytes);
    return header;
  }

  async #whole(): Promise<Uint8Array> {
    const parts: Uint8Array[] = [];
    using held = this.#limits.partialBytes?.child();
    while (this.#openBytes > 0) {
      const part = await this.#take();
      if (held?.tryTake(part.length) === false) throw new GrpcError(GrpcStatus.resourceExhausted, held.text);
      parts.push(part);
    }
    return parts.length === 1 ? (parts[0] ?? nothing) : Buffer.concat(parts);
  }

  async *#chunks(): AsyncGenerator<Uint8Array, void, undefined> {
    while (this.#openBytes > 0) yield await this.#take();
  }

  /** Some bytes of the current message, at least one. */
  async #take(): Promise<Uint8Array> {
    if (this.#rest.length === 0 && !(await this.#more())) throw cutOff();
    const part = this.#rest.subarray(0, this.#openBytes);
    this.#rest = this.#rest.subarray(part.length);
    this.#openBytes -= part.length;
    return part;
  }

  /** Fills the empty rest; false when the peer has finished. */
  async #more(): Promise<boolean> {
    const chunk = await this.#source.next();
    if (chunk === "closed") throw this.#failure();
    if (chunk === "end") return false;
    this.#rest = chunk;
    return true;
  }
}

function cutOff(): GrpcError {
  return new GrpcError(GrpcStatus.internal, "the stream ended inside a message");
}
