// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { remainingLifetimeThreshold } from "../../../src/cert/remaining-lifetime.ts";

test.each([
  [0, undefined],
  [49, undefined],
  [50, 50],
  [74, 50],
  [75, 25],
  [89, 25],
  [90, 10],
  [150, 10],
])("at %i percent of its lifetime the threshold is %s", (percent, threshold) => {
  expect(remainingLifetimeThreshold({ startMs: 0, notAfterMs: 100_000 }, percent * 1_000)).toBe(threshold);
});
