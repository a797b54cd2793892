// SPDX-License-Identifier: Apache-2.0
import { canonicalIp, formatIp, ipBytes } from "../lib/net/ip-address.ts";
import type { NamedService } from "../model/name-table.ts";

/*
 * A service in some 70 bytes instead of some 2,000 as objects: length (4), flags (1), host, registry, short name,
 * namespace, other hosts, addresses. A text is its length and UTF-8. An address is its size and its bytes; one that
 * would not be the same text again, or is no address, is a text after the size 0.
 */

/** A larger service is an error. */
export const maxPackedBytes = 1024 * 1024;

const lengthBytes = 4;

/** Registries that are a number in the flags; any other is a text. */
const registries = ["", "Kubernetes", "External"];
const otherRegistry = 3;
const shortNameIsFirstLabel = 4;
const namespaceIsSecondLabel = 8;

/** The length of the packed service at a position, in bytes. */
export function packedLength(bytes: Buffer, at: number): number {
  return bytes.readUInt32LE(at);
}

/** Packs services, each into the same buffer. */
export class ServicePacker {
  #buffer = Buffer.allocUnsafeSlow(4 * 1024);
  #at = 0;

  /**
   * @returns bytes that are valid until the next call
   * @throws RangeError when the service does not fit into `maxPackedBytes`
   */
  pack(service: NamedService): Buffer {
    const { host, registry, shortName, namespace, altHosts, addresses } = service;
    const [firstLabel, secondLabel] = labelsOf(host);
    const code = registries.indexOf(registry);
    const isFirst = shortName === firstLabel;
    const isSecond = namespace === secondLabel;
    this.#at = lengthBytes;
    this.#number(
      (code < 0 ? otherRegistry : code) |
        (isFirst ? shortNameIsFirstLabel : 0) |
        (isSecond ? namespaceIsSecondLabel : 0),
    );
    this.#text(host);
    if (code < 0) this.#text(registry);
    if (!isFirst) this.#text(shortName);
    if (!isSecond) this.#text(namespace);
    this.#number(altHosts.length);
    for (const alias of altHosts) this.#text(alias);
    this.#number(addresses.length);
    for (const address of addresses) this.#address(address);
    this.#buffer.writeUInt32LE(this.#at, 0);
    return this.#buffer.subarray(0, this.#at);
  }

  #number(value: number): void {
    this.#reserve(5);
    let left = value;
    for (; left >= 0x80; left >>>= 7) this.#buffer[this.#at++] = (left & 0x7f) | 0x80;
    this.#buffer[this.#at++] = left;
  }

  #text(text: string): void {
    const bytes = Buffer.byteLength(text);
    this.#number(bytes);
    this.#reserve(bytes);
    this.#at += this.#buffer.write(text, this.#at);
  }

  #address(text: string): void {
    const ipv4 = parseIpv4(text);
    if (ipv4 >= 0) {
      this.#reserve(5);
      this.#buffer[this.#at] = 4;
      this.#at = this.#buffer.writeUInt32BE(ipv4, this.#at + 1);
      return;
    }
    const bytes = canonicalIp(text) === text ? ipBytes(text) : undefined;
    this.#number(bytes?.length ?? 0);
    if (bytes === undefined) {
      this.#text(text);
      return;
    }
    this.#reserve(bytes.length);
    this.#buffer.set(bytes, this.#at);
    this.#at += bytes.length;
  }

  #reserve(bytes: number): void {
    const needed = this.#at + bytes;
    if (needed <= this.#buffer.length) return;
    if (needed > maxPackedBytes) throw new RangeError(`a service of more than ${String(maxPackedBytes)} bytes`);
    const larger = Buffer.allocUnsafeSlow(Math.min(maxPackedBytes, Math.max(needed, 2 * this.#buffer.length)));
    this.#buffer.copy(larger, 0, 0, this.#at);
    this.#buffer = larger;
  }
}

/** The names of a service. */
export function unpackNames(bytes: Buffer, at: number): Omit<NamedService, "addresses"> {
  const reader = new PackedReader(bytes, at + lengthBytes);
  return readNames(reader);
}

export function unpackService(bytes: Buffer, at: number): NamedService {
  const reader = new PackedReader(bytes, at + lengthBytes);
  const names = readNames(reader);
  const addresses = Array.from({ length: reader.number() }, () => {
    const size = reader.number();
    return size === 0 ? reader.text() : formatIp(reader.bytes(size));
  });
  return { ...names, addresses };
}

/** The host of a service. */
export function unpackHost(bytes: Buffer, at: number): string {
  const reader = new PackedReader(bytes, at + lengthBytes);
  reader.number();
  return reader.text();
}

/** The valid addresses of a service, four or sixteen bytes each: views that are valid as long as the buffer. */
export function unpackAddresses(bytes: Buffer, at: number): readonly Uint8Array[] {
  const found: Uint8Array[] = [];
  visitAddresses(bytes, at, (within, start, end) => found.push(within.subarray(start, end)));
  return found;
}

/**
 * Calls `visit` with each valid address of a service, four or sixteen bytes from `start` to `end` of `within`. A large mesh
 * has 500,000: a view of each would keep the engine busy with collections.
 * @returns how many there are
 */
export function visitAddresses(
  bytes: Buffer,
  at: number,
  visit: (within: Uint8Array, start: number, end: number) => void,
): number {
  const reader = new PackedReader(bytes, at + lengthBytes);
  const flags = reader.number();
  const texts =
    1 +
    ((flags & 3) === otherRegistry ? 1 : 0) +
    ((flags & shortNameIsFirstLabel) === 0 ? 1 : 0) +
    ((flags & namespaceIsSecondLabel) === 0 ? 1 : 0);
  for (let i = 0; i < texts; i++) reader.skipText();
  for (let left = reader.number(); left > 0; left--) reader.skipText();
  let count = 0;
  for (let left = reader.number(); left > 0; left--) {
    const size = reader.number();
    if (size > 0) {
      const start = reader.skip(size);
      visit(bytes, start, start + size);
    } else {
      const address = ipBytes(reader.text());
      if (address === undefined) continue;
      visit(address, 0, address.length);
    }
    count++;
  }
  return count;
}

function readNames(reader: PackedReader): Omit<NamedService, "addresses"> {
  const flags = reader.number();
  const host = reader.text();
  const [firstLabel, secondLabel] = labelsOf(host);
  const code = flags & 3;
  const registry = code === otherRegistry ? reader.text() : (registries[code] ?? "");
  const shortName = (flags & shortNameIsFirstLabel) === 0 ? reader.text() : firstLabel;
  const namespace = (flags & namespaceIsSecondLabel) === 0 ? reader.text() : secondLabel;
  const altHosts = Array.from({ length: reader.number() }, () => reader.text());
  return { host, registry, shortName, namespace, altHosts };
}

class PackedReader {
  readonly #bytes: Buffer;
  #at: number;

  constructor(bytes: Buffer, at: number) {
    this.#bytes = bytes;
    this.#at = at;
  }

  number(): number {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = this.#bytes[this.#at++] ?? 0;
      value |= (byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
  }

  text(): string {
    const length = this.number();
    this.#at += length;
    return this.#bytes.toString("utf8", this.#at - length, this.#at);
  }

  skipText(): void {
    const length = this.number();
    this.#at += length;
  }

  /** @returns where the skipped bytes begin */
  skip(length: number): number {
    this.#at += length;
    return this.#at - length;
  }

  bytes(length: number): Uint8Array {
    this.#at += length;
    return this.#bytes.subarray(this.#at - length, this.#at);
  }
}

/** The first two labels of a host; empty where there is none. */
function labelsOf(host: string): readonly [string, string] {
  const firstDot = host.indexOf(".");
  if (firstDot < 0) return [host, ""];
  const secondDot = host.indexOf(".", firstDot + 1);
  return [host.slice(0, firstDot), host.slice(firstDot + 1, secondDot < 0 ? undefined : secondDot)];
}

/** An IPv4 address as a number; -1 for any other text. Faster than the general form: a large mesh has 500,000. */
function parseIpv4(text: string): number {
  let address = 0;
  let dots = 0;
  let part = -1;
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i);
    if (code >= 0x30 && code <= 0x39) {
      if (part === 0) return -1;
      part = Math.max(0, part) * 10 + code - 0x30;
      if (part > 255) return -1;
    } else {
      if (code !== 0x2e || part < 0 || dots === 3) return -1;
      address = address * 256 + part;
      part = -1;
      dots++;
    }
  }
  return dots === 3 && part >= 0 ? address * 256 + part : -1;
}
