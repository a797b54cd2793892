// SPDX-License-Identifier: Apache-2.0

/** Source: IANA, Domain Name System Parameters */
export const recordType = { a: 1, cname: 5, soa: 6, ptr: 12, aaaa: 28, opt: 41 } as const;
export const recordClass = { internet: 1, any: 255 } as const;
export const opcode = { query: 0, notify: 4 } as const;
export const rcode = {
  noError: 0,
  formErr: 1,
  servFail: 2,
  nxDomain: 3,
  notImp: 4,
  refused: 5,
  badVersion: 16,
} as const;

/** Header bits. Source: RFC 1035 section 4.1.1, RFC 4035 section 3.2 */
export const flag = { response: 0x8000, authoritative: 0x0400, truncated: 0x0200, recursionAvailable: 0x0080 } as const;

export const headerBytes = 12;

/** The message is truncated or malformed. Does not leave this module. */
export class FormatError extends Error {}

/** The position of a record in a message. */
export interface RecordPosition {
  readonly type: number;
  /** Position of the owner's name. */
  readonly owner: number;
  /** Position of the type, after the owner's name; class, TTL and the data's length follow. */
  readonly start: number;
  readonly end: number;
}

/**
 * The next `count` records. Their data is not read.
 * @throws FormatError
 * Source of the format: RFC 1035 section 4.1.3
 */
export function* recordsOf(bytes: Buffer, from: number, count: number): Generator<RecordPosition, void, undefined> {
  let at = from;
  for (let index = 0; index < count; index++) {
    const start = skipName(bytes, at);
    if (start + 10 > bytes.length) throw new FormatError();
    const end = start + 10 + bytes.readUInt16BE(start + 8);
    if (end > bytes.length) throw new FormatError();
    yield { type: bytes.readUInt16BE(start), owner: at, start, end };
    at = end;
  }
}

/** The end of a name, which may be compressed; pointers are not followed. @throws FormatError */
function skipName(bytes: Buffer, from: number): number {
  for (let at = from; ; ) {
    const length = byteAt(bytes, at);
    if (length >= 0xc0) return at + 2;
    if (length > 63) throw new FormatError();
    at += length + 1;
    if (length === 0) return at;
  }
}

/** @throws FormatError after the last byte */
export function byteAt(bytes: Buffer, at: number): number {
  const byte = bytes[at];
  if (byte === undefined) throw new FormatError();
  return byte;
}

/** A copy of the message with another ID. */
export function withId(message: Buffer, id: number): Buffer {
  const copy = Buffer.from(message);
  copy.writeUInt16BE(id, 0);
  return copy;
}

/** A message as it is sent over TCP: after its length. Source: RFC 1035 section 4.2.2 */
export function frame(message: Buffer): Buffer {
  const framed = Buffer.alloc(2 + message.length);
  framed.writeUInt16BE(message.length, 0);
  message.copy(framed, 2);
  return framed;
}

/** The first message in bytes received over TCP, and the bytes after it; undefined while it is incomplete. */
export function unframe(received: Buffer): { readonly message: Buffer; readonly rest: Buffer } | undefined {
  if (received.length < 2) return undefined;
  const end = 2 + received.readUInt16BE(0);
  return received.length < end ? undefined : { message: received.subarray(2, end), rest: received.subarray(end) };
}
