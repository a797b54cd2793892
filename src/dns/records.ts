// SPDX-License-Identifier: Apache-2.0

/** Where the bytes end before the message does, or say something that cannot be. Stays in this module. */
export class FormatError extends Error {}

/** A record by the positions of its bytes. */
export interface RecordPlace {
  readonly type: number;
  /** Where its type stands, behind its owner's name; class, TTL and the data's length follow. */
  readonly start: number;
  readonly end: number;
}

/**
 * The next `count` records, without looking into them.
 * @throws FormatError
 * Source of the format: RFC 1035 section 4.1.3
 */
export function* recordsOf(bytes: Buffer, from: number, count: number): Generator<RecordPlace, void, undefined> {
  let at = from;
  for (let index = 0; index < count; index++) {
    const start = skipName(bytes, at);
    if (start + 10 > bytes.length) throw new FormatError();
    const end = start + 10 + bytes.readUInt16BE(start + 8);
    if (end > bytes.length) throw new FormatError();
    yield { type: bytes.readUInt16BE(start), start, end };
    at = end;
  }
}

/** The end of a name that may be compressed; where it points is not followed. @throws FormatError */
function skipName(bytes: Buffer, from: number): number {
  for (let at = from; ; ) {
    const length = byteAt(bytes, at);
    if (length >= 0xc0) return at + 2;
    if (length > 63) throw new FormatError();
    at += length + 1;
    if (length === 0) return at;
  }
}

/** @throws FormatError behind the end */
export function byteAt(bytes: Buffer, at: number): number {
  const byte = bytes[at];
  if (byte === undefined) throw new FormatError();
  return byte;
}
