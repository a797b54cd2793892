// SPDX-License-Identifier: Apache-2.0
import type { NamedService } from "../model/name-table.ts";
import {
  maxPackedBytes,
  packedLength,
  unpackAddresses,
  unpackHost,
  unpackNames,
  unpackService,
  visitAddresses,
} from "./packed-service.ts";

const chunkBits = 20;
const chunkBytes = maxPackedBytes;

/** Memory outside of the engine's heap, in which packed services are written one after the other. */
interface Chunk {
  readonly bytes: Buffer<ArrayBuffer>;
  /** Bytes of services that the store has, out of all that were written. */
  liveBytes: number;
  usedBytes: number;
}

/** The services of one resource of the control plane: ids from `start` up to `end`. */
interface ResourceRange {
  readonly name: string;
  readonly start: number;
  readonly end: number;
}

/** The services of a name table, by id from 0. Stores that follow each other share what is equal in both. */
export class ServiceStore {
  readonly count: number;
  readonly chunks: readonly (Chunk | undefined)[];
  readonly resources: readonly ResourceRange[];
  readonly #positions: Uint32Array<ArrayBuffer>;
  #isFreed = false;

  constructor(
    chunks: readonly (Chunk | undefined)[],
    positions: Uint32Array<ArrayBuffer>,
    resources: readonly ResourceRange[],
  ) {
    this.chunks = chunks;
    this.count = positions.length;
    this.resources = resources;
    this.#positions = positions;
  }

  get isFreed(): boolean {
    return this.#isFreed;
  }

  position(id: number): number {
    return this.#positions[id] ?? 0;
  }

  /** The service with one id becomes that of another one, which leaves its place empty. */
  replace(id: number, by: number): void {
    this.#positions[id] = this.position(by);
    this.#positions[by] = none;
  }

  /** Whether the service was not moved to another id. */
  has(id: number): boolean {
    return this.position(id) !== none;
  }

  service(id: number): NamedService {
    const position = this.position(id);
    return unpackService(this.#chunk(position), offsetOf(position));
  }

  names(id: number): Omit<NamedService, "addresses"> {
    const position = this.position(id);
    return unpackNames(this.#chunk(position), offsetOf(position));
  }

  host(id: number): string {
    const position = this.position(id);
    return unpackHost(this.#chunk(position), offsetOf(position));
  }

  /** Calls `visit` with each address, as bytes from `start` to `end` of `within`. @returns how many there are */
  visitAddresses(id: number, visit: (within: Uint8Array, start: number, end: number) => void): number {
    const position = this.position(id);
    return visitAddresses(this.#chunk(position), offsetOf(position), visit);
  }

  /** Views of the store's memory. */
  addresses(id: number): readonly Uint8Array[] {
    const position = this.position(id);
    return unpackAddresses(this.#chunk(position), offsetOf(position));
  }

  packed(id: number): Buffer {
    const position = this.position(id);
    const chunk = this.#chunk(position);
    const start = offsetOf(position);
    return chunk.subarray(start, start + packedLength(chunk, start));
  }

  /** Gives back at once what the next store does not share: the engine would wait for a collection. */
  free(next: ServiceStore | undefined): void {
    this.#isFreed = true;
    this.#positions.buffer.transfer(0);
    for (const [index, chunk] of this.chunks.entries()) {
      if (chunk !== undefined && next?.chunks[index]?.bytes !== chunk.bytes) chunk.bytes.buffer.transfer(0);
    }
  }

  #chunk(position: number): Buffer {
    const chunk = this.chunks[chunkOf(position)];
    if (chunk === undefined) throw new Error("the service is not in the store");
    return chunk.bytes;
  }
}

/** Builds a store that follows another one. */
export class ServiceStoreBuilder {
  readonly #previous: ServiceStore | undefined;
  readonly #chunks: (Chunk | undefined)[];
  readonly #resources: ResourceRange[] = [];
  #positions = new Uint32Array(1_024);
  #count = 0;
  #resourceStart = 0;
  /** Index of the chunk that is written to. */
  #tail: number;

  constructor(previous: ServiceStore | undefined) {
    this.#previous = previous;
    this.#chunks = (previous?.chunks ?? []).map((chunk) => chunk && { ...chunk, liveBytes: 0 });
    this.#tail = this.#chunks.findLastIndex((chunk) => chunk !== undefined);
  }

  get count(): number {
    return this.#count;
  }

  /** Whether the services come from the same resources as those of the previous store. */
  get hasSameResources(): boolean {
    const before = this.#previous?.resources ?? [];
    return (
      before.length === this.#resources.length &&
      this.#resources.every(({ name, start, end }, index) => {
        const other = before[index];
        return other?.name === name && other.start === start && other.end === end;
      })
    );
  }

  /** @param equal id of a service in the previous store with the same bytes */
  add(packed: Buffer, equal: number | undefined): void {
    const position = equal === undefined ? undefined : this.#shared(equal);
    this.#append(position ?? this.#write(packed), packed.length);
  }

  endResource(name: string): void {
    this.#resources.push({ name, start: this.#resourceStart, end: this.#count });
    this.#resourceStart = this.#count;
  }

  build(): ServiceStore {
    const positions = new Uint32Array(this.#positions.buffer.transfer(4 * this.#count));
    const chunks = this.#chunks.map((chunk, index) =>
      chunk === undefined || (chunk.liveBytes === 0 && index !== this.#tail) ? undefined : chunk,
    );
    for (const [index, chunk] of this.#chunks.entries()) if (chunks[index] === undefined) this.#freeOwn(index, chunk);
    return new ServiceStore(chunks, positions, this.#resources);
  }

  /** Gives the memory of a store that is not built back. */
  discard(): void {
    this.#positions.buffer.transfer(0);
    for (const [index, chunk] of this.#chunks.entries()) this.#freeOwn(index, chunk);
  }

  #freeOwn(index: number, chunk: Chunk | undefined): void {
    if (chunk !== undefined && this.#previous?.chunks[index]?.bytes !== chunk.bytes) chunk.bytes.buffer.transfer(0);
  }

  /** Undefined when most of the chunk is no longer in use: then its last services are copied out of it. */
  #shared(id: number): number | undefined {
    const position = this.#previous?.position(id) ?? none;
    const before = this.#previous?.chunks[chunkOf(position)];
    if (position === none || before === undefined || 2 * before.liveBytes < before.usedBytes) return undefined;
    return position;
  }

  #append(position: number, bytes: number): void {
    if (this.#count === this.#positions.length) {
      this.#positions = new Uint32Array(this.#positions.buffer.transfer(8 * this.#count));
    }
    this.#positions[this.#count++] = position;
    const chunk = this.#chunks[chunkOf(position)];
    if (chunk !== undefined) chunk.liveBytes += bytes;
  }

  #write(packed: Buffer): number {
    let chunk = this.#chunks[this.#tail];
    if (chunk === undefined || chunk.usedBytes + packed.length > chunkBytes) {
      chunk = { bytes: Buffer.from(new ArrayBuffer(chunkBytes)), liveBytes: 0, usedBytes: 0 };
      const free = this.#chunks.indexOf(undefined);
      this.#tail = free < 0 ? this.#chunks.length : free;
      this.#chunks[this.#tail] = chunk;
    }
    const offset = chunk.usedBytes;
    packed.copy(chunk.bytes, offset);
    chunk.usedBytes += packed.length;
    return this.#tail * chunkBytes + offset;
  }
}

/** The position of a service that was moved to another id: no chunk has it. */
const none = 0xffff_ffff;

function chunkOf(position: number): number {
  return position >>> chunkBits;
}

function offsetOf(position: number): number {
  return position & (chunkBytes - 1);
}
