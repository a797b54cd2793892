// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { describeExit, type EnvoyExit, exitCodeFor } from "../../../src/envoy/envoy-exit.ts";

const ends: readonly [title: string, exit: EnvoyExit, code: number, text: string][] = [
  ["Envoy's own success", { kind: "code", code: 0, requested: false }, 0, "exit code 0"],
  ["Envoy's own failure", { kind: "code", code: 7, requested: false }, 7, "exit code 7"],
  ["a failure on the way down", { kind: "code", code: 3, requested: true }, 3, "exit code 3"],
  ["a kill from outside", { kind: "signal", signal: "SIGKILL", requested: false }, 137, "signal SIGKILL (9)"],
  ["a termination from outside", { kind: "signal", signal: "SIGTERM", requested: false }, 143, "signal SIGTERM (15)"],
  ["a crash", { kind: "signal", signal: "SIGSEGV", requested: false }, 139, "signal SIGSEGV (11)"],
  ["an abort", { kind: "signal", signal: "SIGABRT", requested: false }, 134, "signal SIGABRT (6)"],
  ["our own SIGKILL", { kind: "signal", signal: "SIGKILL", requested: true }, 0, "signal SIGKILL (9)"],
  [
    "our own SIGTERM before Envoy handles signals",
    { kind: "signal", signal: "SIGTERM", requested: true },
    0,
    "signal SIGTERM (15)",
  ],
  ["a crash on the way down", { kind: "signal", signal: "SIGSEGV", requested: true }, 139, "signal SIGSEGV (11)"],
  [
    "a binary that the launcher cannot execute",
    { kind: "not-run", code: 126, requested: false },
    69,
    "it could not be executed",
  ],
  ["the same while we end it", { kind: "not-run", code: 127, requested: true }, 0, "it could not be executed"],
];

test.each(ends)("%s has its exit code", (_title, exit, code, text) => {
  expect(exitCodeFor(exit)).toBe(code);
  expect(describeExit(exit)).toBe(text);
});
