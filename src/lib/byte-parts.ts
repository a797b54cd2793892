// SPDX-License-Identifier: Apache-2.0

/** A part of this size is kept as it came; a smaller one is copied into a block with those beside it. */
const smallBytes = 1024;
const firstBlockBytes = 4 * 1024;
const largestBlockBytes = 64 * 1024;

/**
 * Bytes in the order in which they came. A peer may send a message one byte at a time: kept as they came, such parts
 * would take a hundred times their bytes. The memory is proportional to the bytes, whatever the parts.
 */
export class ByteParts {
  #parts: Uint8Array[] = [];
  /** The last part, if it is a block with space; `#parts` has its used portion. */
  #block: Buffer | undefined;
  #used = 0;
  #byteLength = 0;

  get byteLength(): number {
    return this.#byteLength;
  }

  /** Keeps the bytes, or copies them. */
  push(bytes: Uint8Array): void {
    if (bytes.length === 0) return;
    this.#byteLength += bytes.length;
    const last = this.#parts.at(-1);
    if (this.#block !== undefined && this.#used + bytes.length <= this.#block.length) this.#append(this.#block, bytes);
    else if (last === undefined || bytes.length >= smallBytes || last.length >= largestBlockBytes) this.#keep(bytes);
    else if (this.#block === undefined && last.length >= smallBytes) this.#open(firstBlockBytes, bytes);
    else {
      // two small parts, or a full block, become a larger one
      this.#parts.pop();
      this.#open(Math.max(firstBlockBytes, 2 * (last.length + bytes.length)), last, bytes);
    }
  }

  /** The first part; undefined when there is none. */
  shift(): Uint8Array | undefined {
    const part = this.#parts.shift();
    if (this.#parts.length === 0) this.#block = undefined;
    this.#byteLength -= part?.length ?? 0;
    return part;
  }

  /** All bytes; nothing is kept. Without a copy if they came in one part. */
  take(): Buffer {
    const parts = this.#parts;
    this.clear();
    const [only] = parts;
    if (only === undefined || parts.length > 1) return Buffer.concat(parts);
    return Buffer.from(only.buffer, only.byteOffset, only.length);
  }

  clear(): void {
    this.#parts = [];
    this.#block = undefined;
    this.#byteLength = 0;
  }

  #keep(bytes: Uint8Array): void {
    this.#parts.push(bytes);
    this.#block = undefined;
  }

  #open(size: number, ...parts: readonly Uint8Array[]): void {
    this.#block = Buffer.allocUnsafeSlow(size);
    this.#used = 0;
    this.#parts.push(this.#block.subarray(0, 0));
    for (const part of parts) this.#append(this.#block, part);
  }

  #append(block: Buffer, bytes: Uint8Array): void {
    block.set(bytes, this.#used);
    this.#used += bytes.length;
    this.#parts[this.#parts.length - 1] = block.subarray(0, this.#used);
  }
}
