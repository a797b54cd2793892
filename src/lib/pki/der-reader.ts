// SPDX-License-Identifier: Apache-2.0

/** One DER element. */
export interface DerElement {
  /** The first byte: class, constructed bit and number. */
  readonly tag: number;
  readonly content: Uint8Array;
  /** Tag, length and content. */
  readonly bytes: Uint8Array;
}

/** The bytes are not the DER that was expected. */
export class DerError extends Error {
  override readonly name = "DerError";
}

export const derTag = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  oid: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30,
  set: 0x31,
} as const;

/** More elements than this in one place are in no certificate. */
const maxElements = 4_096;
/** A longer object identifier is none. */
const maxOidBytes = 64;

/**
 * Reads the elements of one level; what they contain is not read, so that depth costs nothing. Lengths must be in their
 * shortest form, and tags below 31.
 * @throws DerError
 * Source: ITU-T X.690
 */
export function readDerElements(bytes: Uint8Array): readonly DerElement[] {
  const elements: DerElement[] = [];
  for (let at = 0; at < bytes.length; ) {
    if (elements.length === maxElements) throw new DerError("too many elements");
    const { start, end } = rangeOf(bytes, at);
    const tag = bytes[at] ?? 0;
    if ((tag & 0x1f) === 0x1f) throw new DerError("a tag above 30");
    elements.push({ tag, content: bytes.subarray(start, end), bytes: bytes.subarray(at, end) });
    at = end;
  }
  return elements;
}

function rangeOf(bytes: Uint8Array, at: number): { readonly start: number; readonly end: number } {
  const first = bytes[at + 1] ?? 0x80;
  const lengthSize = first < 0x80 ? 0 : first & 0x7f;
  const start = at + 2 + lengthSize;
  if (first === 0x80 || lengthSize > 4 || start > bytes.length) throw new DerError("a length that cannot be read");
  let length = lengthSize === 0 ? first : 0;
  for (const byte of bytes.subarray(at + 2, start)) length = length * 256 + byte;
  if (lengthSize > 0 && length < (lengthSize === 1 ? 0x80 : 256 ** (lengthSize - 1))) {
    throw new DerError("a length that is not in its shortest form");
  }
  if (length > bytes.length - start) throw new DerError("an element that is longer than its container");
  return { start, end: start + length };
}

/** Reads bytes that are exactly one element of the given tag. @throws DerError */
export function readDerElement(bytes: Uint8Array, tag: number): DerElement {
  const [element, ...more] = readDerElements(bytes);
  if (element === undefined || more.length > 0) throw new DerError("not one element");
  return expectTag(element, tag);
}

/** The elements inside one of the given tag. @throws DerError */
export function childrenOf(element: DerElement | undefined, tag: number = derTag.sequence): readonly DerElement[] {
  return readDerElements(expectTag(element, tag).content);
}

/** @throws DerError when the element is missing or of another tag */
export function expectTag(element: DerElement | undefined, tag: number): DerElement {
  if (element?.tag === tag) return element;
  throw new DerError(`an element ${tag.toString(16)} was expected`);
}

/** An object identifier in dotted form. @throws DerError */
export function readOid(element: DerElement | undefined): string {
  const { content } = expectTag(element, derTag.oid);
  const last = content.at(-1);
  if (last === undefined || last >= 0x80 || content.length > maxOidBytes)
    throw new DerError("an identifier is not whole");
  const arcs: number[] = [];
  let arc = 0;
  for (const byte of content) {
    arc = arc * 128 + (byte & 0x7f);
    if (byte >= 0x80) continue;
    arcs.push(arc);
    arc = 0;
  }
  const [first = 0, ...rest] = arcs;
  const top = Math.min(2, Math.floor(first / 40));
  return [top, first - 40 * top, ...rest].join(".");
}

/** @throws DerError, also for a true that is not 0xff */
export function readBoolean(element: DerElement | undefined): boolean {
  const { content } = expectTag(element, derTag.boolean);
  if (content.length !== 1 || (content[0] !== 0 && content[0] !== 0xff)) throw new DerError("not a boolean");
  return content[0] === 0xff;
}

/** A number from 0 to 2^31 - 1; larger ones count as the largest. @throws DerError for a negative or an empty one */
export function readNumber(content: Uint8Array): number {
  if (content.length === 0 || (content[0] ?? 0) >= 0x80) throw new DerError("not a number");
  if (content.length > 5) return 2 ** 31 - 1;
  return Math.min(
    content.reduce((sum, byte) => sum * 256 + byte, 0),
    2 ** 31 - 1,
  );
}

/** The numbers of the bits that are set; bit 0 is the first. @throws DerError */
export function readBits(element: DerElement | undefined): ReadonlySet<number> {
  const { content } = expectTag(element, derTag.bitString);
  const unused = content[0];
  if (unused === undefined || unused > 7 || content.length > 9) throw new DerError("not a string of a few bits");
  const bits = new Set<number>();
  for (const [index, byte] of content.subarray(1).entries()) {
    for (let bit = 0; bit < 8; bit++) if ((byte & (0x80 >> bit)) !== 0) bits.add(index * 8 + bit);
  }
  return bits;
}
