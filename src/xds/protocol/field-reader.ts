// SPDX-License-Identifier: Apache-2.0
import type { Budget } from "../../lib/budget.ts";
import { ByteParts } from "../../lib/byte-parts.ts";
import { VarintReader } from "./varint-reader.ts";
import { WireError, wireType } from "./wire.ts";

/** Reads the values of one field, of type `bytes`, out of a message that is received in pieces. Skips all other fields. */
export class FieldReader {
  readonly #number: number;
  readonly #valueBytes: Budget;
  readonly #onValue: (value: Uint8Array) => void;
  #step: "tag" | "varint" | "length" | "skip" | "value" = "tag";
  #isWanted = false;
  readonly #varint = new VarintReader();
  /** Bytes of the value, or of the skipped field, that are still to come. */
  #left = 0;
  readonly #parts = new ByteParts();

  /**
   * @param number of the field
   * @param valueBytes limits one value
   * @param onValue takes bytes that are valid during the call
   */
  constructor(number: number, valueBytes: Budget, onValue: (value: Uint8Array) => void) {
    this.#number = number;
    this.#valueBytes = valueBytes;
    this.#onValue = onValue;
  }

  /** @throws WireError; BudgetSpentError for a value that is too large; what `onValue` throws */
  push(bytes: Uint8Array): void {
    for (let at = 0; at < bytes.length; ) {
      if (this.#step === "skip" || this.#step === "value") {
        const part = bytes.subarray(at, at + this.#left);
        at += part.length;
        this.#pass(part);
      } else this.#takeByte(bytes[at++] ?? 0);
    }
  }

  /** The message is complete; another one may follow. @throws WireError when it is cut off */
  end(): void {
    if (this.#step !== "tag" || this.#varint.isPartial) throw new WireError("truncated field");
  }

  #pass(part: Uint8Array): void {
    this.#left -= part.length;
    if (this.#step === "value") {
      if (this.#left === 0 && this.#parts.byteLength === 0) this.#onValue(part);
      else {
        this.#parts.push(Uint8Array.from(part));
        if (this.#left === 0) this.#onValue(this.#parts.take());
      }
    }
    if (this.#left === 0) this.#step = "tag";
  }

  #takeByte(byte: number): void {
    const value = this.#varint.push(byte);
    if (value === undefined) return;
    if (this.#step === "tag") this.#onTag(value);
    else if (this.#step === "length") this.#onLength(value);
    else this.#step = "tag";
  }

  #onTag(tag: number): void {
    const number = Math.floor(tag / 8);
    const type = tag % 8;
    this.#isWanted = number === this.#number;
    if (number === 0) throw new WireError("field number 0");
    if (type === wireType.varint) this.#step = "varint";
    else if (type === wireType.bytes) this.#step = "length";
    else if (type === wireType.fixed64) this.#skip(8);
    else if (type === wireType.fixed32) this.#skip(4);
    else throw new WireError(`wire type ${String(type)}`);
  }

  #onLength(length: number): void {
    if (!this.#isWanted) this.#skip(length);
    else if (!this.#valueBytes.admits(length)) throw this.#valueBytes.spentError();
    else if (length === 0) {
      this.#step = "tag";
      this.#onValue(new Uint8Array(0));
    } else {
      this.#left = length;
      this.#step = "value";
    }
  }

  #skip(length: number): void {
    this.#left = length;
    this.#step = length === 0 ? "tag" : "skip";
  }
}
