// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { re2Problem } from "../../../../src/config/sections/stats-section.ts";

test.each([
  ".*circuit_breakers.*",
  "(?i)abc",
  "(?P<name>x)",
  "\\Afoo\\z",
  "[[:digit:]]+",
  "a{1000}",
  "\\Q(\\E",
  "tcp\\.x\\..*",
  "a|b",
  "\\pN",
])("%s is fine", (text) => {
  expect(re2Problem(text)).toBeUndefined();
});

test.each(["(", "a**", "(?=x)", "(?<!x)", "(a)\\1", "\\u0041", "a{1001}", "[z-a]", "x\\"])("%s is rejected", (text) => {
  expect(re2Problem(text)).toBeTypeOf("string");
});
