// SPDX-License-Identifier: Apache-2.0

/** With so many slots for each entry, a search ends after a few of them. */
const slotsPerEntry = 1.45;

/** The memory of an index with so many entries. */
export function indexBytes(entries: number): number {
  return entries * slotsPerEntry * Uint32Array.BYTES_PER_ELEMENT;
}

const idBits = 24;
const idMask = 2 ** idBits - 1;

/**
 * Finds services by the hash of a name or an address: a hash table of numbers, with linear probing. A slot is an id and
 * eight bits of the hash. It does not keep what was hashed: whoever searches compares.
 */
export class HashIndex {
  readonly #slots: Uint32Array<ArrayBuffer>;

  /** @param entries the most that are inserted */
  constructor(entries: number) {
    this.#slots = new Uint32Array(Math.ceil(entries * slotsPerEntry) + 8);
  }

  /** Inserts an id of less than 24 bits, unless the search with this hash finds one that has precedence. */
  insert(hash: number, id: number, rank: number, rankOf: RankOf): void {
    const found = this.find(hash, rankOf);
    if (found !== undefined && (found.rank < rank || (found.rank === rank && found.id <= id))) return;
    const slots = this.#slots;
    let at = this.#start(hash);
    while (slots[at] !== 0) at = at + 1 === slots.length ? 0 : at + 1;
    slots[at] = (hash << idBits) | (id + 1);
  }

  /** The id with the lowest rank, among equal ranks the lowest id. */
  find(hash: number, rankOf: RankOf): { readonly id: number; readonly rank: number } | undefined {
    const slots = this.#slots;
    let best: { id: number; rank: number } | undefined;
    for (let at = this.#start(hash); ; at = at + 1 === slots.length ? 0 : at + 1) {
      const slot = slots[at] ?? 0;
      if (slot === 0) return best;
      if (slot >>> idBits !== (hash & 0xff)) continue;
      const id = (slot & idMask) - 1;
      const rank = rankOf(id);
      if (rank === undefined) continue;
      if (best === undefined || rank < best.rank || (rank === best.rank && id < best.id)) best = { id, rank };
    }
  }

  /** Gives the memory back at once; the index finds nothing any more. */
  free(): void {
    this.#slots.buffer.transfer(0);
  }

  #start(hash: number): number {
    return Math.floor(((hash >>> 0) / 2 ** 32) * this.#slots.length);
  }
}

/** A set grows in parts: of 250,000 hashes, 4,000 are moved at a time. */
const setParts = 64;
const firstSetSlots = 32;

/**
 * Hashes of 32 bits. A text that is not in the set is found once in some 10,000 searches, if the set is full: only for
 * what then does no harm.
 */
export class HashSet {
  readonly #parts: (Uint32Array<ArrayBuffer> | undefined)[] = Array.from({ length: setParts });
  readonly #sizes = new Uint32Array(setParts);
  readonly #most: number;
  #size = 0;

  /** @param most further hashes are not added */
  constructor(most: number) {
    this.#most = most;
  }

  has(hash: number): boolean {
    const slots = this.#parts[hash % setParts];
    return slots !== undefined && slots[slotOf(slots, hash || 1)] !== 0;
  }

  /** @returns whether it was not in the set before; also true when it is full */
  add(hash: number): boolean {
    const part = hash % setParts;
    const slots = this.#parts[part] ?? new Uint32Array(firstSetSlots);
    this.#parts[part] = slots;
    const slot = slotOf(slots, hash || 1);
    if (slots[slot] !== 0) return false;
    if (this.#size >= this.#most) return true;
    this.#size++;
    slots[slot] = hash || 1;
    const size = (this.#sizes[part] ?? 0) + 1;
    this.#sizes[part] = size;
    if (2 * size <= slots.length) return true;
    const larger = new Uint32Array(2 * slots.length);
    for (const value of slots) if (value !== 0) larger[slotOf(larger, value)] = value;
    this.#parts[part] = larger;
    return true;
  }
}

/** The slot of a hash, or the free one where it belongs. The low bits are those of the part. */
function slotOf(slots: Uint32Array, hash: number): number {
  const mask = slots.length - 1;
  let slot = (hash >>> 6) & mask;
  while (slots[slot] !== 0 && slots[slot] !== hash) slot = (slot + 1) & mask;
  return slot;
}

/** The rank of an id among those that have what is searched for; undefined when it does not have it. */
export type RankOf = (id: number) => number | undefined;

/** A hash of 32 bits. The seed is random, so that a peer cannot choose addresses or names with equal hashes. */
export function hashOfBytes(seed: number, bytes: Uint8Array, start = 0, end = bytes.length): number {
  let hash = seed;
  for (let at = start; at < end; at++) hash = Math.imul(hash ^ (bytes[at] ?? 0), 0x01000193);
  return finish(hash);
}

/** @param from where the hashed part begins */
export function hashOfText(seed: number, text: string, from = 0): number {
  let hash = seed;
  for (let i = from; i < text.length; i++) hash = Math.imul(hash ^ text.charCodeAt(i), 0x01000193);
  return finish(hash);
}

/** Source: the last steps of MurmurHash3, which spread each bit over all */
function finish(hash: number): number {
  let mixed = hash ^ (hash >>> 16);
  mixed = Math.imul(mixed, 0x85ebca6b);
  mixed ^= mixed >>> 13;
  mixed = Math.imul(mixed, 0xc2b2ae35);
  return (mixed ^ (mixed >>> 16)) >>> 0;
}
