// SPDX-License-Identifier: Apache-2.0

/** The bytes of one or more DER elements. Source of this file: ITU-T X.690 */
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

/** A set of one element. More elements would have to be sorted. */
export function derSet(content: Der): Der {
  return element(universal.set, content);
}

export function derBoolean(value: boolean): Der {
  return element(universal.boolean, Uint8Array.of(value ? 0xff : 0));
}

export function derNull(): Der {
  return element(universal.null);
}

/** @param value from 0 to 127 */
export function derInteger(value: number): Der {
  return element(universal.integer, Uint8Array.of(value));
}

/** A string of whole bytes. */
export function derBitString(bytes: Uint8Array): Der {
  return element(universal.bitString, Uint8Array.of(0), bytes);
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

/** A constructed context-specific element, such as `[0] EXPLICIT`. */
export function derTagged(number: number, ...content: readonly Der[]): Der {
  return element(0xa0 | number, ...content);
}

/** A primitive context-specific element, such as `[6] IMPLICIT IA5String`. */
export function derTaggedPrimitive(number: number, bytes: Uint8Array): Der {
  return element(0x80 | number, bytes);
}
