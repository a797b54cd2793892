// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { BlockBuffer } from "../../../src/metrics/buffers.ts";
import { fc } from "../../support/properties.ts";

test("a block buffer returns what was appended, in order, whatever the pieces", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 9_000 }), { maxLength: 40 }), (parts) => {
      const kept = new BlockBuffer();
      for (const part of parts) kept.append(part);
      const whole = Buffer.concat(parts);
      expect(kept.byteLength).toBe(whole.byteLength);
      expect(Buffer.concat(kept.pieces()).equals(whole)).toBe(true);
      expect(Buffer.concat(kept.take()).equals(whole)).toBe(true);
      expect([kept.byteLength, kept.take()]).toEqual([0, []]);
    }),
    { numRuns: 50 },
  );
});

test("a megabyte in single bytes is kept in few blocks that waste little", () => {
  const kept = new BlockBuffer();
  const byte = Uint8Array.of(7);
  for (let count = 0; count < 1024 * 1024; count++) kept.append(byte);
  const pieces = kept.pieces();
  expect(pieces.length).toBeLessThan(30);
  expect(pieces.reduce((sum, { buffer }) => sum + buffer.byteLength, 0)).toBeLessThan(1.2 * 1024 * 1024);
});
