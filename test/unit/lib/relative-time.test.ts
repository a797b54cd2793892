// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { formatMoment, formatSpan, withoutMoments } from "../../../src/lib/relative-time.ts";

test.each([
  [0, "0 s"],
  [999, "0 s"],
  [59_000, "59 s"],
  [60_000, "1 min"],
  [61_000, "1 min 1 s"],
  [3_600_000, "1 h"],
  [90_061_000, "1 d 1 h"],
  [-5_000, "5 s"],
])("%d ms are %s", (ms, text) => {
  expect(formatSpan(ms)).toBe(text);
});

test("a moment is told beside the present one", () => {
  expect(formatMoment(1_000, 181_000)).toBe("3 min ago");
  expect(formatMoment(7_201_000, 1_000)).toBe("in 2 h");
  expect(formatMoment(1_000, 1_500)).toBe("now");
});

test("texts that differ in moments alone are compared without them", () => {
  const texts = ["just now", "2 s ago", "1 min 30 s ago", "1 d 2 h ago"].map((when) => `it exited ${when}: why 7`);
  expect(new Set(texts.map(withoutMoments))).toEqual(new Set(["it exited : why 7"]));
  expect(withoutMoments("due in 2 h 5 min; 3 s left")).toBe("due ; 3 s left");
});
