// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { durationText } from "../../../src/lib/duration-text.ts";

test.each([
  [-5, "0 s"],
  [1_400, "1 s"],
  [89_000, "89 s"],
  [90_000, "2 min"],
  [3_601_000, "60 min"],
  [3 * 3_600_000, "3 h"],
  [47 * 3_600_000, "2 days"],
])("%d ms is %s", (ms, text) => {
  expect(durationText(ms)).toBe(text);
});
