// SPDX-License-Identifier: Apache-2.0
import { AgentError } from "../../lib/errors.ts";

/** The bytes are not a protobuf message. Source of the format: protobuf.dev, Encoding */
export class WireError extends AgentError {
  readonly code = "AGENT_XDS_WIRE";
  constructor(problem: string, cause?: unknown) {
    super(`read a protobuf message: ${problem}`, { cause });
  }
}

export const wireType = { varint: 0, fixed64: 1, bytes: 2, fixed32: 5 } as const;

/** The position of one field in the bytes of a message. */
export interface WireField {
  readonly number: number;
  readonly type: number;
  /** Position of the tag. */
  readonly start: number;
  /** Position of the value; for `bytes`, after the length. */
  readonly valueStart: number;
  readonly end: number;
}

/**
 * The fields of a message, in order. Their values are not read.
 * @throws WireError
 */
export function* wireFields(bytes: Uint8Array): Generator<WireField, void, undefined> {
  const reader = new WireReader(bytes);
  while (reader.next()) {
    const { number, type, start, valueStart, end } = reader;
    yield { number, type, start, valueStart, end };
  }
}

/** Reads the fields of a message one after the other, and allocates nothing: for messages with thousands of fields. */
export class WireReader implements WireField {
  readonly #bytes: Uint8Array;
  number = 0;
  type = 0;
  start = 0;
  valueStart = 0;
  end: number;
  /** Behind the number that was read last. */
  #at = 0;

  readonly #last: number;

  /** @param start of the message in the bytes, and `last` its end */
  constructor(bytes: Uint8Array, start = 0, last = bytes.length) {
    this.#bytes = bytes;
    this.end = start;
    this.#last = last;
  }

  /** Goes to the next field. @returns false after the last one. @throws WireError */
  next(): boolean {
    if (this.end >= this.#last) return false;
    this.start = this.end;
    this.#at = this.end;
    const tag = this.#varint();
    this.type = tag % 8;
    this.number = Math.floor(tag / 8);
    this.valueStart = this.#at;
    this.end = this.#valueEnd();
    if (this.number === 0) throw new WireError("field number 0");
    if (this.end > this.#last) throw new WireError("truncated field");
    return true;
  }

  #valueEnd(): number {
    switch (this.type) {
      case wireType.varint:
        this.#varint();
        return this.#at;
      case wireType.fixed64:
        return this.#at + 8;
      case wireType.fixed32:
        return this.#at + 4;
      case wireType.bytes: {
        const length = this.#varint();
        this.valueStart = this.#at;
        return this.#at + length;
      }
      default:
        throw new WireError(`wire type ${String(this.type)}`);
    }
  }

  #varint(): number {
    let value = 0;
    let scale = 1;
    const last = this.#at + 10;
    while (this.#at < last) {
      const byte = this.#bytes[this.#at++];
      if (byte === undefined) throw new WireError("truncated number");
      value += (byte % 0x80) * scale;
      if (byte < 0x80) return value;
      scale *= 0x80;
    }
    throw new WireError("varint of more than ten bytes");
  }
}

/**
 * How many fields a message has; counts no further than one above `most`. A decoded field takes a hundred bytes, known or
 * not, and two on the wire.
 * @throws WireError
 */
export function countFields(bytes: Uint8Array, most: number): number {
  const field = new WireReader(bytes);
  let count = 0;
  while (count <= most && field.next()) count++;
  return count;
}

/** The value of a field of type `string`. */
export function textOf(bytes: Uint8Array, field: WireField): string {
  return textBetween(bytes, field.valueStart, field.end);
}

/** Bytes in UTF-8 as a text. */
export function textBetween(bytes: Uint8Array, start: number, end: number): string {
  const buffer = Buffer.isBuffer(bytes) ? bytes : Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  return buffer.toString("utf8", start, end);
}

/** The bytes of a field's value; a view, not a copy. */
export function valueOf(bytes: Uint8Array, field: WireField): Uint8Array {
  return bytes.subarray(field.valueStart, field.end);
}

/** The first value of the `string` field `number`; empty when there is none. */
export function firstText(bytes: Uint8Array, number: number): string {
  for (const field of wireFields(bytes)) {
    if (field.number === number && field.type === wireType.bytes) return textOf(bytes, field);
  }
  return "";
}

/** A field of type `string`; no bytes when it is empty, as in proto3. */
export function textField(number: number, text: string): Uint8Array {
  return text === "" ? new Uint8Array(0) : bytesField(number, Buffer.from(text));
}

/** A field of type `string`, `bytes` or message; written also when it is empty. */
export function bytesField(number: number, value: Uint8Array): Uint8Array {
  return Buffer.concat([varint(number * 8 + wireType.bytes), varint(value.length), value]);
}

/** A field of an integer type, not negative; no bytes when it is 0, as in proto3. */
export function integerField(number: number, value: number): Uint8Array {
  return value === 0 ? new Uint8Array(0) : Buffer.concat([varint(number * 8), varint(value)]);
}

function varint(value: number): Uint8Array {
  const bytes: number[] = [];
  let left = value;
  while (left >= 0x80) {
    bytes.push((left % 0x80) + 0x80);
    left = Math.floor(left / 0x80);
  }
  bytes.push(left);
  return Uint8Array.from(bytes);
}
