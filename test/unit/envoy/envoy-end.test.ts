// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { type EnvoyEndFacts, judgeEnd } from "../../../src/envoy/envoy-end.ts";

const calm = { oomKills: 0, wasReady: true };

const ends: readonly [cause: string, facts: EnvoyEndFacts, code: number][] = [
  ["asked", { ...calm, exit: { kind: "signal", signal: "SIGKILL", asked: true } }, 0],
  ["clean", { ...calm, exit: { kind: "code", code: 0, asked: false } }, 0],
  ["failed", { ...calm, exit: { kind: "code", code: 7, asked: false } }, 7],
  ["start-failed", { ...calm, wasReady: false, exit: { kind: "code", code: 1, asked: false } }, 1],
  ["crashed", { ...calm, exit: { kind: "signal", signal: "SIGSEGV", asked: false } }, 139],
  ["crashed", { ...calm, exit: { kind: "signal", signal: "SIGABRT", asked: true } }, 134],
  ["killed", { ...calm, exit: { kind: "signal", signal: "SIGKILL", asked: false } }, 137],
  ["killed", { ...calm, exit: { kind: "signal", signal: "SIGTERM", asked: false } }, 143],
  ["out-of-memory", { ...calm, oomKills: 1, exit: { kind: "signal", signal: "SIGKILL", asked: false } }, 137],
  ["crashed", { ...calm, oomKills: 1, exit: { kind: "signal", signal: "SIGSEGV", asked: false } }, 139],
  ["not-run", { ...calm, wasReady: false, exit: { kind: "not-run", code: 126, asked: false } }, 69],
];

test.each(ends)("%s: %j ends the agent with %i", (cause, facts, code) => {
  const end = judgeEnd(facts, undefined);
  expect([end.cause, end.code]).toEqual([cause, code]);
  expect(end.reason).not.toContain("\n");
});

test("an end after restarts tells how many there were", () => {
  const facts = {
    oomKills: 0,
    wasReady: true,
    restarts: 2,
    exit: { kind: "signal", signal: "SIGSEGV", asked: false },
  } as const;
  expect(judgeEnd(facts, undefined).reason).toMatch(/^Envoy crashed with signal SIGSEGV \(11\) after 2 restarts;/);
});

test("Envoy's own complaint is part of the reason when it did not come up", () => {
  const facts = { oomKills: 0, wasReady: false, exit: { kind: "code", code: 1, asked: false } } as const;
  expect(judgeEnd(facts, "no such cluster").reason).toBe("Envoy did not come up: exit code 1: no such cluster");
});
