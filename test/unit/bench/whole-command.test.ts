// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { parseShellTimes } from "../../../scripts/bench/whole-command.ts";

test("the shell's times are those of one run, after what the runs have written", () => {
  const times = parseShellTimes("a warning 1 2 3\nanother\n0.500 0.300 0.100\n", 10);
  expect(times.ms).toBeCloseTo(50);
  expect(times.processorMs).toBeCloseTo(40);
});

test("without the shell's times there are none", () => {
  expect(parseShellTimes("killed\n", 1)).toEqual({ ms: Number.NaN, processorMs: Number.NaN });
});
