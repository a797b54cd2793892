// SPDX-License-Identifier: Apache-2.0

/** Who declared a family first, and as what. */
export interface Declared {
  readonly label: string;
  readonly type: string;
}

/** A part grows by itself: of 50,000 names, 800 are moved at a time. */
const parts = 64;
const firstSlots = 16;
/** Differ from start to start, so that no application can choose names with the same hashes. */
const [highSeed, lowSeed] = [randomSeed(), randomSeed()];

function randomSeed(): number {
  return Math.floor(Math.random() * 2 ** 32);
}

/**
 * The families of one response. 50,000 names are 1.3 MB here, where a map of strings takes ten times as much: a name is
 * kept as a hash of 64 bits. Two different names of one response have the same hash once in 10 billion scrapes; the
 * second one then counts as declared.
 */
export class FamilyTable {
  readonly #parts = Array.from({ length: parts }, () => new TablePart());
  #size = 0;
  /** A label and a type together are few: unknown types count as one. */
  readonly #owners: Declared[] = [];

  get size(): number {
    return this.#size;
  }

  /** @returns who declared the family before; undefined when `declared` is now the first */
  claim(family: string, declared: Declared): Declared | undefined {
    const [high, low] = hash(family);
    const part = this.#parts[high % parts];
    const owner = part?.find(high, low) ?? 0;
    if (owner > 0) return this.#owners[owner - 1];
    part?.add(high, low, this.#ownerIndex(declared));
    this.#size++;
    return undefined;
  }

  #ownerIndex({ label, type }: Declared): number {
    const found = this.#owners.findIndex((owner) => owner.label === label && owner.type === type);
    return found >= 0 ? found + 1 : this.#owners.push({ label, type });
  }
}

/** Hashes with open addressing. */
class TablePart {
  #slots = firstSlots;
  #size = 0;
  #hashes = new Uint32Array(2 * firstSlots);
  /** Index into the owners, plus one; 0 is a free slot. */
  #ownerOf = new Uint16Array(firstSlots);

  /** @returns 0 when the hash is not in the table */
  find(high: number, low: number): number {
    return this.#ownerOf[this.#slotOf(high, low)] ?? 0;
  }

  add(high: number, low: number, owner: number): void {
    if (2 * (this.#size + 1) > this.#slots) this.#grow();
    this.#put(high, low, owner);
    this.#size++;
  }

  #slotOf(high: number, low: number): number {
    const mask = this.#slots - 1;
    for (let slot = low & mask; ; slot = (slot + 1) & mask) {
      if (this.#ownerOf[slot] === 0) return slot;
      if (this.#hashes[2 * slot] === high && this.#hashes[2 * slot + 1] === low) return slot;
    }
  }

  #put(high: number, low: number, owner: number): void {
    const slot = this.#slotOf(high, low);
    this.#hashes[2 * slot] = high;
    this.#hashes[2 * slot + 1] = low;
    this.#ownerOf[slot] = owner;
  }

  #grow(): void {
    const [hashes, owners] = [this.#hashes, this.#ownerOf];
    this.#slots *= 2;
    this.#hashes = new Uint32Array(2 * this.#slots);
    this.#ownerOf = new Uint16Array(this.#slots);
    for (let slot = 0; slot < owners.length; slot++) {
      const owner = owners[slot] ?? 0;
      if (owner !== 0) this.#put(hashes[2 * slot] ?? 0, hashes[2 * slot + 1] ?? 0, owner);
    }
  }
}

/** Two multiplicative hashes of the characters. */
function hash(text: string): [high: number, low: number] {
  let [high, low] = [highSeed, lowSeed];
  for (let at = 0; at < text.length; at++) {
    const char = text.charCodeAt(at);
    high = Math.imul(high ^ char, 0x01000193);
    low = Math.imul((low << 5) ^ (low >>> 27) ^ char, 0x9e3779b1);
  }
  return [mixed(high), mixed(low)];
}

/** Source: the finalizer of MurmurHash3 */
function mixed(value: number): number {
  let bits = value ^ (value >>> 16);
  bits = Math.imul(bits, 0x85ebca6b);
  bits = Math.imul(bits ^ (bits >>> 13), 0xc2b2ae35);
  return (bits ^ (bits >>> 16)) >>> 0;
}
