// SPDX-License-Identifier: Apache-2.0
import type { Budget } from "../budget.ts";
import { ByteParts } from "../byte-parts.ts";
import { type IncomingMessage, frameHeaderBytes, parseFrameHeader } from "./message.ts";
import { GrpcError, GrpcStatus } from "./status.ts";

/**
 * What a peer may send ahead of its reader on one connection; a stream has half of it. HTTP/2's own window of 64 KiB
 * throttles large configuration pushes.
 */
export const defaultWindowBytes = 2 * 1024 * 1024;

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
  /** Why there is no memory for more of a message; undefined when there is. */
  readonly shortage?: () => string | undefined;
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
    // waits here and not below: most streams are quiet, and each function that waits keeps its own state
    const chunk = this.#rest.length === 0 ? await this.#source.next() : this.#rest;
    if (!this.#accept(chunk)) return undefined;
    const header = await this.#header();
    const length = parseFrameHeader(header, this.#limits.maxBytes);
    this.#openBytes = length;
    if (length > this.#limits.chunkAboveBytes) return { kind: "chunks", length, chunks: this.#chunks() };
    return { kind: "whole", length, bytes: await this.#whole() };
  }

  /** Not a generator: one that waits for the next message would keep the last one in memory. */
  [Symbol.asyncIterator](): AsyncIterator<IncomingMessage, void, undefined> {
    return {
      next: async () => {
        const value = await this.next();
        return value === undefined ? { done: true, value } : { done: false, value };
      },
    };
  }

  async #header(): Promise<Uint8Array> {
    while (this.#rest.length < frameHeaderBytes) {
      const before = this.#rest;
      this.#rest = nothing;
      if (!(await this.#more())) throw cutOff();
      this.#rest = Buffer.concat([before, this.#rest]);
    }
    const header = this.#rest.subarray(0, frameHeaderBytes);
    this.#consume(frameHeaderBytes);
    return header;
  }

  async #whole(): Promise<Uint8Array> {
    const parts = new ByteParts();
    using held = this.#limits.partialBytes?.child();
    while (this.#openBytes > 0) {
      const part = await this.#take();
      if (held?.tryTake(part.length) === false) throw new GrpcError(GrpcStatus.resourceExhausted, held.text);
      const shortage = this.#limits.shortage?.();
      if (shortage !== undefined) throw new GrpcError(GrpcStatus.resourceExhausted, shortage);
      parts.push(part);
    }
    return parts.take();
  }

  async *#chunks(): AsyncGenerator<Uint8Array, void, undefined> {
    while (this.#openBytes > 0) yield await this.#take();
  }

  /** Some bytes of the current message, at least one. */
  async #take(): Promise<Uint8Array> {
    if (this.#rest.length === 0 && !(await this.#more())) throw cutOff();
    const part = this.#rest.subarray(0, this.#openBytes);
    this.#consume(part.length);
    this.#openBytes -= part.length;
    return part;
  }

  /** Even an empty rest would keep the whole chunk in memory. */
  #consume(length: number): void {
    this.#rest = length === this.#rest.length ? nothing : this.#rest.subarray(length);
  }

  /** Fills the empty rest; false when the peer has finished. */
  async #more(): Promise<boolean> {
    return this.#accept(await this.#source.next());
  }

  #accept(chunk: Uint8Array | "end" | "closed"): boolean {
    if (chunk === "closed") throw this.#failure();
    if (chunk === "end") return false;
    this.#rest = chunk;
    return true;
  }
}

function cutOff(): GrpcError {
  return new GrpcError(GrpcStatus.internal, "the stream ended inside a message");
}
