// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { findReason, validationArgs } from "../../../src/envoy/validation.ts";

const args = ["-c", "envoy.json", "--disable-hot-restart", "--concurrency", "2"];

test("a validation of the bootstrap is never an epoch", () => {
  const check = ["--disable-hot-restart", "--mode", "validate"];
  expect(validationArgs(args)).toEqual(["-c", "envoy.json", "--concurrency", "2", ...check]);
});

test.each([
  [
    "the last critical line",
    "[2026-11-21 12:16:05.478][4872][critical][main] [source/server/server.cc:449] no such cluster\nbye\n",
    "no such cluster",
  ],
  ["the last line, when none is critical", "starting\nunknown argument --foo\n\n", "unknown argument --foo"],
  ["a line in the text form of the mesh", "2026-11-21T12:00:00Z\tcritical\tenvoy main\tboom\tthread=1\n", undefined],
  [
    "without the bootstrap that Envoy repeats",
    "[2026-11-21 12:16:05.478][4872][critical][main] [a.cc:1] error initializing configuration 'e.json': " +
      'Unable to parse JSON as proto (INVALID_ARGUMENT: no such field: a): {"node":{"metadata":{"password":"x"}}}\n',
    "error initializing configuration 'e.json': Unable to parse JSON as proto (INVALID_ARGUMENT: no such field: a)",
  ],
  ["nothing", "\n", undefined],
])("the problem is %s", (_name, output, problem) => {
  if (problem !== undefined) expect(findReason(output)).toBe(problem);
  else expect(findReason(output) ?? "boom").toContain("boom");
});
