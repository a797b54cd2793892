// SPDX-License-Identifier: Apache-2.0

const firstBlockBytes = 4 * 1024;
const largestBlockBytes = 64 * 1024;

/** Bytes that are kept for a while, in few blocks however small the pieces are in which they come. */
export class KeptBytes {
  #blocks: Buffer[] = [];
  /** Of the last block. */
  #filled = 0;

  get byteLength(): number {
    return this.#blocks.slice(0, -1).reduce((sum, block) => sum + block.byteLength, this.#filled);
  }

  /** Takes a copy. */
  append(bytes: Uint8Array): void {
    const last = this.#blocks.at(-1);
    const module = last === undefined ? 0 : last.byteLength - this.#filled;
    const fits = bytes.subarray(0, module);
    last?.set(fits, this.#filled);
    this.#filled += fits.byteLength;
    if (fits.byteLength === bytes.byteLength) return;
    const rest = bytes.subarray(module);
    const wanted = Math.min(largestBlockBytes, 2 * (last?.byteLength ?? firstBlockBytes / 2));
    const block = Buffer.allocUnsafeSlow(Math.max(rest.byteLength, wanted));
    block.set(rest);
    this.#blocks.push(block);
    this.#filled = rest.byteLength;
  }

  /** All of it, in order; shares the memory of what is kept. */
  pieces(): readonly Buffer[] {
    return this.#blocks.map((block, index) => {
      return index === this.#blocks.length - 1 ? block.subarray(0, this.#filled) : block;
    });
  }

  /** Gives back what was kept, and keeps nothing any more. */
  take(): readonly Buffer[] {
    const pieces = this.pieces();
    this.#blocks = [];
    this.#filled = 0;
    return pieces;
  }
}
