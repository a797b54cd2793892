// SPDX-License-Identifier: Apache-2.0

/** Bytes of one DER element, or of several in a row. Source for all of this file: ITU-T X.690. */
export type Der = Uint8Array;

const universal = {
  boolean: 0x01,
  integer: 0x02,
  bitString: 0x03,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  printableString: 0x13,
  sequence: 0x30,
  set: 0x31,
};

/** One element: tag, length in its shortest form, content. Tags above 30 are not supported. */
function element(tag: number, ...content: readonly Der[]): Der {
  const length = content.reduce((sum, part) => sum + part.length, 0);
  return Buffer.concat([Buffer.from([tag, ...lengthBytes(length)]), ...content]);
}

function lengthBytes(length: number): number[] {
  if (length < 0x80) return [length];
  const bytes: number[] = [];
  for (let rest = length; rest > 0; rest = Math.floor(rest / 256)) bytes.unshift(rest % 256);
  return [0x80 | bytes.length, ...bytes];
}

export function derSequence(...content: readonly Der[]): Der {
  return element(universal.sequence, ...content);
}

/** For sets of one element; several would have to be sorted first. */
export function derSet(content: Der): Der {
  return element(universal.set, content);
}

export function derBoolean(value: boolean): Der {
  return element(universal.boolean, Uint8Array.of(value ? 0xff : 0));
}

export function derNull(): Der {
  return element(universal.null);
}

/** @param value a number from 0 to 127, or the big-endian magnitude of any not negative integer */
export function derInteger(value: number | Uint8Array): Der {
  const bytes = typeof value === "number" ? Uint8Array.of(value) : value;
  let start = 0;
  while (start < bytes.length - 1 && bytes[start] === 0) start++;
  const magnitude = bytes.subarray(start);
  const signed = (magnitude[0] ?? 0) >= 0x80;
  return element(universal.integer, signed ? Uint8Array.of(0) : new Uint8Array(), magnitude);
}

/** @param unusedBits how many of the lowest bits of the last byte do not count */
export function derBitString(bytes: Uint8Array, unusedBits = 0): Der {
  return element(universal.bitString, Uint8Array.of(unusedBits), bytes);
}

export function derOctetString(bytes: Uint8Array): Der {
  return element(universal.octetString, bytes);
}

export function derPrintableString(text: string): Der {
  return element(universal.printableString, Buffer.from(text, "ascii"));
}

/** @param dotted for example `2.5.29.17` */
export function derOid(dotted: string): Der {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  return element(universal.oid, Uint8Array.from([first * 40 + second, ...rest].flatMap(base128)));
}

function base128(value: number): number[] {
  const bytes = [value % 128];
  for (let rest = Math.floor(value / 128); rest > 0; rest = Math.floor(rest / 128)) bytes.unshift((rest % 128) | 0x80);
  return bytes;
}

/** A context-specific element with content of its own structure, such as `[0] EXPLICIT`. */
export function derTagged(number: number, ...content: readonly Der[]): Der {
  return element(0xa0 | number, ...content);
}

/** A context-specific element that replaces a primitive type's tag, such as `[6] IMPLICIT IA5String`. */
export function derTaggedPrimitive(number: number, bytes: Uint8Array): Der {
  return element(0x80 | number, bytes);
}

/**
 * Splits elements that follow each other, by their lengths alone.
 * @returns undefined when the bytes are not a row of whole elements
 */
export function splitDer(bytes: Uint8Array): readonly Der[] | undefined {
  const elements: Der[] = [];
  for (let at = 0; at < bytes.length; ) {
    const first = bytes[at + 1] ?? 0;
    const lengthSize = first < 0x80 ? 0 : first & 0x7f;
    if (at + 2 + lengthSize > bytes.length || lengthSize > 4) return undefined;
    let length = lengthSize === 0 ? first : 0;
    for (const byte of bytes.subarray(at + 2, at + 2 + lengthSize)) length = length * 256 + byte;
    const end = at + 2 + lengthSize + length;
    if (end > bytes.length || first === 0x80) return undefined;
    elements.push(bytes.subarray(at, end));
    at = end;
  }
  return elements;
}
