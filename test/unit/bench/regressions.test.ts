// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { summarize } from "../../../scripts/bench/comparison.ts";
import { findRegressions, record, renderRegression } from "../../../scripts/bench/regressions.ts";

const recorded = [{ suite: "check", row: "start", ratio: 2, above: 12 }];
const rows = (attache: readonly number[], reference = [40, 41, 44]) => [
  summarize({ name: "start", unit: "ms", samples: { attache, reference } }),
];

test("20 ms more in each round are a regression; a disturbed round is not, and a slower machine neither", () => {
  expect(findRegressions("check", rows([100, 130, 104]), recorded).map(renderRegression)).toEqual([
    "check: start: 20.0 ms above what was recorded; 12 ms are allowed",
  ]);
  expect(findRegressions("check", rows([82, 130, 104]), recorded)).toEqual([]);
  expect(findRegressions("check", rows([160, 170, 165], [80, 82, 90]), recorded)).toEqual([]);
});

test("processor time of a start is not judged on a busy machine", () => {
  const quiet = recorded.map((entry) => ({ ...entry, onlyQuiet: true }));
  expect(findRegressions("check", rows([100, 130, 104]), quiet, true)).toEqual([]);
  expect(findRegressions("check", rows([100, 130, 104]), quiet, false)).toHaveLength(1);
});

test("what was recorded must be measured", () => {
  expect(() => findRegressions("check", [], recorded)).toThrow("check did not measure what was recorded: start");
  expect(findRegressions("other", [], recorded)).toEqual([]);
});

test("a new record keeps what is allowed", () => {
  expect(record("check", rows([60, 90, 70]), recorded)).toEqual([{ ...recorded[0], ratio: 1.5 }]);
  expect(record("other", rows([60]), recorded)).toEqual(recorded);
});
