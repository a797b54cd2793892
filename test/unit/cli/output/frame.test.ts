// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { renderFrame } from "../../../../src/cli/output/frame.ts";

test("a frame is written over the one before, and clears what is left of it", () => {
  expect(renderFrame("one\ntwo\n", undefined)).toBe("\u001B[Hone\u001B[K\ntwo\u001B[K\n\u001B[J");
});

test("what does not fit is left out, so that the terminal does not scroll", () => {
  const lines = renderFrame("1\n2\n3\n4\n5\n", 4).split("\n");
  expect(lines).toHaveLength(4);
  expect(lines.slice(0, 3)).toEqual(["\u001B[H1\u001B[K", "2\u001B[K", "… 3 more lines\u001B[K"]);
  expect(renderFrame("1\n2\n3\n", 4)).toContain("3");
});
