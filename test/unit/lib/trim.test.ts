// SPDX-License-Identifier: Apache-2.0
import fc from "fast-check";
import { expect, test } from "vitest";
import { oneLine, trimTrailing } from "../../../src/lib/trim.ts";

const text = fc.string({ unit: fc.constantFrom("a", " ", "\t", "\n", "\r", "/"), maxLength: 20 });

test("lines become one, with one space for each break and the white space around it", () => {
  fc.assert(
    fc.property(text, (given) => {
      expect(oneLine(given)).toBe(given.replaceAll(/\s*[\r\n]\s*/g, " "));
    }),
  );
});

test("a character is removed at the end, and only there", () => {
  fc.assert(
    fc.property(text, (given) => {
      expect(trimTrailing(given, "/")).toBe(given.replace(/\/+$/, ""));
    }),
  );
});
