// SPDX-License-Identifier: Apache-2.0

/** Size of a pooled buffer, and so of one read. */
const pooledBytes = 64 * 1024;
const maxPooled = 16;
const pool: Buffer[] = [];

/** A buffer to read into or to collect in, from the pool if possible. Its content is arbitrary. */
export function takeBuffer(): Buffer {
  return pool.pop() ?? Buffer.allocUnsafeSlow(pooledBytes);
}

/** Gives a buffer back; the caller must not use it any more. */
export function returnBuffer(buffer: Buffer): void {
  if (pool.length < maxPooled) pool.push(buffer);
}

/** A destination of bytes; `write` resolves when their memory may be reused. */
export interface ByteSink {
  write(bytes: Uint8Array): Promise<void>;
}

/** Pieces of this size and larger are passed on without a copy. */
const largeBytes = 8 * 1024;

/** Joins small pieces: two comment lines are not worth a system call each. */
export class BatchingSink implements ByteSink, Disposable {
  readonly #sink: ByteSink;
  readonly #batch = takeBuffer();
  #filled = 0;

  constructor(sink: ByteSink) {
    this.#sink = sink;
  }

  async write(bytes: Uint8Array): Promise<void> {
    if (bytes.byteLength >= largeBytes) {
      await this.flush();
      await this.#sink.write(bytes);
      return;
    }
    if (this.#filled + bytes.byteLength > pooledBytes) await this.flush();
    this.#batch.set(bytes, this.#filled);
    this.#filled += bytes.byteLength;
  }

  async flush(): Promise<void> {
    const filled = this.#filled;
    this.#filled = 0;
    if (filled > 0) await this.#sink.write(this.#batch.subarray(0, filled));
  }

  [Symbol.dispose](): void {
    returnBuffer(this.#batch);
  }
}

const firstBlockBytes = 4 * 1024;
const largestBlockBytes = 64 * 1024;

/** A growing buffer: few blocks, however small the pieces are that come in. */
export class BlockBuffer {
  #blocks: Buffer[] = [];
  /** Of the last block. */
  #filled = 0;

  get byteLength(): number {
    return this.#blocks.slice(0, -1).reduce((sum, block) => sum + block.byteLength, this.#filled);
  }

  /** Copies the bytes. */
  append(bytes: Uint8Array): void {
    const last = this.#blocks.at(-1);
    const free = last === undefined ? 0 : last.byteLength - this.#filled;
    const fits = bytes.subarray(0, free);
    last?.set(fits, this.#filled);
    this.#filled += fits.byteLength;
    if (fits.byteLength === bytes.byteLength) return;
    const rest = bytes.subarray(free);
    const wanted = Math.min(largestBlockBytes, 2 * (last?.byteLength ?? firstBlockBytes / 2));
    const block = Buffer.allocUnsafeSlow(Math.max(rest.byteLength, wanted));
    block.set(rest);
    this.#blocks.push(block);
    this.#filled = rest.byteLength;
  }

  /** The content, in order; shares the buffer's memory. */
  pieces(): readonly Buffer[] {
    return this.#blocks.map((block, index) => {
      return index === this.#blocks.length - 1 ? block.subarray(0, this.#filled) : block;
    });
  }

  /** Returns the content and empties the buffer. */
  take(): readonly Buffer[] {
    const pieces = this.pieces();
    this.#blocks = [];
    this.#filled = 0;
    return pieces;
  }
}
