// SPDX-License-Identifier: Apache-2.0
import { wireType } from "./wire.ts";

const firstBlockBytes = 256;
const largestBlockBytes = 64 * 1024;
/** A tag and a length take at most so many bytes. */
const headerBytes = 20;

/** Writes the fields of a message into few blocks: for messages with thousands of fields. */
export class WireWriter {
  readonly #blocks: Uint8Array[] = [];
  #block = Buffer.allocUnsafe(firstBlockBytes);
  #used = 0;

  /** A field of type `string`; written also when it is empty. */
  text(number: number, text: string): void {
    const length = Buffer.byteLength(text);
    this.#header(number, length, length);
    this.#used += this.#block.write(text, this.#used);
  }

  /** A field of type `string`; not written when it is empty, as in proto3. */
  optionalText(number: number, text: string): void {
    if (text !== "") this.text(number, text);
  }

  /** A field of type `bytes` or message; written also when it is empty. */
  bytes(number: number, value: Uint8Array): void {
    this.#header(number, value.length, value.length);
    this.raw(value);
  }

  /** An entry of a map of texts. */
  entry(number: number, key: string, value: string): void {
    const keyBytes = Buffer.byteLength(key);
    const valueBytes = Buffer.byteLength(value);
    const length = optionalBytes(keyBytes) + optionalBytes(valueBytes);
    this.#header(number, length, length);
    this.optionalText(1, key);
    this.optionalText(2, value);
  }

  /** Fields that are already written. */
  raw(value: Uint8Array): void {
    this.#reserve(value.length);
    this.#block.set(value, this.#used);
    this.#used += value.length;
  }

  finish(): Uint8Array {
    return Buffer.concat([...this.#blocks, this.#block.subarray(0, this.#used)]);
  }

  #header(number: number, length: number, following: number): void {
    this.#reserve(headerBytes + following);
    this.#varint(number * 8 + wireType.bytes);
    this.#varint(length);
  }

  #varint(value: number): void {
    let left = value;
    while (left >= 0x80) {
      this.#block[this.#used++] = (left % 0x80) + 0x80;
      left = Math.floor(left / 0x80);
    }
    this.#block[this.#used++] = left;
  }

  #reserve(bytes: number): void {
    if (this.#used + bytes <= this.#block.length) return;
    if (this.#used > 0) this.#blocks.push(this.#block.subarray(0, this.#used));
    const blockBytes = Math.min(largestBlockBytes, 4 * this.#block.length);
    this.#block = Buffer.allocUnsafe(Math.max(blockBytes, bytes));
    this.#used = 0;
  }
}

/** Of a field of type `string` with a number below 16, which is not written when it is empty. */
function optionalBytes(length: number): number {
  if (length === 0) return 0;
  let lengthBytes = 1;
  for (let left = length; left >= 0x80; left = Math.floor(left / 0x80)) lengthBytes++;
  return 1 + lengthBytes + length;
}
