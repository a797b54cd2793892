// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { ByteParts } from "../../../src/lib/byte-parts.ts";

/** Lengths that cover every way in which a part is kept. */
const lengths = [1, 1, 3, 1_023, 1_024, 1, 1, 5_000, 70_000, 1, 2, 1_000, 1_000, 1_000, 1_000, 1_000, 64 * 1024, 7];

function numbered(lengthsOfParts: readonly number[]): readonly Buffer[] {
  let next = 0;
  return lengthsOfParts.map((length) => Buffer.from(Array.from({ length }, () => next++ % 251)));
}

describe("bytes in parts", () => {
  test("are taken in their order, whatever the parts' sizes", () => {
    const parts = numbered(lengths);
    const collected = new ByteParts();
    for (const part of parts) collected.push(part);
    expect(collected.byteLength).toBe(Buffer.concat(parts).length);
    expect(collected.take().equals(Buffer.concat(parts))).toBe(true);
    expect(collected.byteLength).toBe(0);
    expect(collected.take()).toHaveLength(0);
  });

  test("may be shifted while others are pushed", () => {
    const parts = numbered(lengths);
    const collected = new ByteParts();
    const shifted: Uint8Array[] = [];
    for (const [index, part] of parts.entries()) {
      collected.push(part);
      if (index % 3 === 2) shifted.push(collected.shift() ?? Buffer.alloc(0));
    }
    for (let part = collected.shift(); part !== undefined; part = collected.shift()) shifted.push(part);
    expect(Buffer.concat(shifted).equals(Buffer.concat(parts))).toBe(true);
    expect(collected.byteLength).toBe(0);
  });

  test("that came as one are not copied", () => {
    const collected = new ByteParts();
    const part = Buffer.from("one");
    collected.push(part);
    expect(collected.take().buffer).toBe(part.buffer);
  });

  test("of one byte each are kept in few blocks", () => {
    const collected = new ByteParts();
    for (let index = 0; index < 1_000_000; index++) collected.push(Buffer.of(index % 251));
    expect(collected.byteLength).toBe(1_000_000);
    let count = 0;
    while (collected.shift() !== undefined) count++;
    expect(count).toBeLessThan(40);
  });
});
