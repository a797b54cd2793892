// SPDX-License-Identifier: Apache-2.0
import { WireError } from "./wire.ts";

/** Reads varints of which the bytes arrive one at a time. */
export class VarintReader {
  #value = 0;
  #scale = 1;

  /** Whether bytes of a varint have arrived, but not its last one. */
  get isPartial(): boolean {
    return this.#scale !== 1;
  }

  /**
   * @returns the value with its last byte, undefined before; values above 2^53 are not exact
   * @throws WireError for more than ten bytes
   */
  push(byte: number): number | undefined {
    if (this.#scale > 2 ** 63) throw new WireError("varint of more than ten bytes");
    this.#value += (byte % 0x80) * this.#scale;
    this.#scale *= 0x80;
    if (byte >= 0x80) return undefined;
    const value = this.#value;
    this.#value = 0;
    this.#scale = 1;
    return value;
  }
}
