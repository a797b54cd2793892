// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { KeptBytes } from "../../../src/metrics/kept-bytes.ts";
import { fc } from "../../support/properties.ts";

test("what is kept comes back in order, however it came", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 9_000 }), { maxLength: 40 }), (parts) => {
      const kept = new KeptBytes();
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
  const kept = new KeptBytes();
  const byte = Uint8Array.of(7);
  for (let count = 0; count < 1024 * 1024; count++) kept.append(byte);
  const pieces = kept.pieces();
  expect(pieces.length).toBeLessThan(30);
  expect(pieces.reduce((sum, { buffer }) => sum + buffer.byteLength, 0)).toBeLessThan(1.2 * 1024 * 1024);
});
