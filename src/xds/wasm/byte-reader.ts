// SPDX-License-Identifier: Apache-2.0

/** Reads a stream of chunks in parts of other sizes. At most one chunk is held, and what was peeked at. */
export class ByteReader {
  readonly #source: AsyncIterator<Uint8Array, void, undefined>;
  #held: Uint8Array = new Uint8Array(0);

  constructor(source: AsyncIterable<Uint8Array, void, undefined>) {
    this.#source = source[Symbol.asyncIterator]();
  }

  /** The next `size` bytes, which stay to be read; fewer at the end. */
  async peek(size: number): Promise<Uint8Array> {
    while (this.#held.length < size) {
      const next = await this.#source.next();
      if (next.done === true) break;
      this.#held = this.#held.length === 0 ? next.value : Buffer.concat([this.#held, next.value]);
    }
    return this.#held.subarray(0, size);
  }

  /** The next `size` bytes; fewer at the end. */
  async read(size: number): Promise<Uint8Array> {
    const bytes = await this.peek(size);
    this.#held = this.#held.subarray(bytes.length);
    return bytes;
  }

  /** As they come: the next `size` bytes, or all that are left. Whoever stops early reads on from there. */
  async *chunks(size = Number.POSITIVE_INFINITY): AsyncGenerator<Uint8Array, void, undefined> {
    for (let left = size; left > 0; ) {
      if (this.#held.length === 0) await this.peek(1);
      if (this.#held.length === 0) return;
      const chunk = this.#held.subarray(0, left);
      this.#held = this.#held.subarray(chunk.length);
      left -= chunk.length;
      yield chunk;
    }
  }
}
