// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { parseGoDuration } from "../../../src/lib/go-duration.ts";

test.each([
  ["24h", 86_400_000],
  ["1h30m", 5_400_000],
  ["300ms", 300],
  ["1.5s", 1_500],
  [".5s", 500],
  ["-1s", -1_000],
  ["0", 0],
  ["2us", 0.002],
  ["2µs", 0.002],
])("%s is %d ms", (text, ms) => {
  expect(parseGoDuration(text)).toBeCloseTo(ms, 9);
});

test.each(["", "1", "s", "1d", "1 s", "1h 30m", "abc", "--1s", "1s1"])("%j is not a duration", (text) => {
  expect(parseGoDuration(text)).toBeUndefined();
});
