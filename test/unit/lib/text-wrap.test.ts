// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { hangingLines, wrapText } from "../../../src/lib/text-wrap.ts";

test.each([
  ["one two three", 9, ["one two", "three"]],
  ["one two three", 13, ["one two three"]],
  ["abcdefghij k", 4, ["abcd", "efgh", "ij k"]],
  ["", 5, [""]],
  ["x", 0, ["x"]],
])("%j in %i columns", (text, columns, lines) => {
  expect(wrapText(text, columns)).toEqual(lines);
});

test("further lines begin below the text", () => {
  expect(hangingLines("Label  ", "one two three four five six seven", 30)).toBe(
    "Label  one two three four five\n       six seven",
  );
});
