// SPDX-License-Identifier: Apache-2.0

/** Name and version of a resource in a delta response. */
export interface ResourceVersion {
  readonly name: string;
  readonly version: string;
}

/** The resources of a response. A plain array will do. */
export interface ResourceVersions extends Iterable<ResourceVersion> {
  readonly length: number;
  /** Of all texts, where it is known without reading them. */
  readonly textBytes?: number;
}

/** The positions of one entry: where its name begins and ends, and its version. */
const numbersPerEntry = 4;
const firstBytes = 256;
const firstEntries = 8;

/**
 * Names and versions as bytes in one buffer: 20,000 of them as texts would be as many objects for the engine to look
 * through and to move until the response is accepted. A version that is the same as the one before is kept once.
 */
export class PackedResourceVersions implements ResourceVersions {
  #bytes = Buffer.alloc(0);
  #used = 0;
  #positions = new Uint32Array(firstEntries * numbersPerEntry);
  #length = 0;
  /** Where the entry begins that is not complete yet; its positions are those behind the complete ones. */
  #entryStart = 0;

  get length(): number {
    return this.#length;
  }

  get textBytes(): number {
    return this.#used;
  }

  /** The name of the entry that `end` completes: the bytes of `from` from `start` up to `end`. */
  setName(from: Uint8Array, start: number, end: number): void {
    this.#append(from, start, end, 0);
  }

  /** The version of the entry that `end` completes. */
  setVersion(from: Uint8Array, start: number, end: number): void {
    const at = this.#length * numbersPerEntry;
    const before = at - numbersPerEntry;
    if (before < 0 || !this.#isVersion(before, from, start, end)) this.#append(from, start, end, 2);
    else this.#positions.copyWithin(at + 2, before + 2, before + 4);
  }

  /** Completes an entry. */
  end(): void {
    this.#length++;
    this.#entryStart = this.#used;
    const size = this.#length * numbersPerEntry;
    if (size < this.#positions.length) return;
    const positions = new Uint32Array(2 * size);
    positions.set(this.#positions);
    this.#positions = positions;
  }

  /** Forgets what is set of an entry. */
  discard(): void {
    this.#used = this.#entryStart;
    this.#positions.fill(0, this.#length * numbersPerEntry);
  }

  *[Symbol.iterator](): Generator<ResourceVersion, void, undefined> {
    let [start, end, version] = [0, 0, ""];
    for (let at = 0; at < this.#length * numbersPerEntry; at += numbersPerEntry) {
      const name = this.#bytes.toString("utf8", this.#position(at), this.#position(at + 1));
      if (this.#position(at + 2) !== start || this.#position(at + 3) !== end) {
        [start, end] = [this.#position(at + 2), this.#position(at + 3)];
        version = this.#bytes.toString("utf8", start, end);
      }
      yield { name, version };
    }
  }

  #isVersion(entry: number, from: Uint8Array, start: number, end: number): boolean {
    const at = this.#position(entry + 2);
    if (this.#position(entry + 3) - at !== end - start) return false;
    for (let i = 0; i < end - start; i++) if (this.#bytes[at + i] !== from[start + i]) return false;
    return true;
  }

  /** @param to which two of the entry's positions */
  #append(from: Uint8Array, start: number, end: number, to: number): void {
    const at = this.#used;
    this.#used += end - start;
    if (this.#used > this.#bytes.length) {
      const bytes = Buffer.allocUnsafeSlow(Math.max(firstBytes, 2 * this.#bytes.length, this.#used));
      bytes.set(this.#bytes.subarray(0, at));
      this.#bytes = bytes;
    }
    // texts are short: a view of each would cost more than the loop
    for (let i = start; i < end; i++) this.#bytes[at + i - start] = from[i] ?? 0;
    this.#positions[this.#length * numbersPerEntry + to] = at;
    this.#positions[this.#length * numbersPerEntry + to + 1] = this.#used;
  }

  #position(at: number): number {
    return this.#positions[at] ?? 0;
  }
}
