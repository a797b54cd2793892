// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { type EnvoyExitFacts, classifyExit } from "../../../src/envoy/exit-diagnosis.ts";

const calm = { oomKills: 0, wasReady: true };

const ends: readonly [cause: string, facts: EnvoyExitFacts, code: number][] = [
  ["requested", { ...calm, exit: { kind: "signal", signal: "SIGKILL", requested: true } }, 0],
  ["clean", { ...calm, exit: { kind: "code", code: 0, requested: false } }, 0],
  ["failed", { ...calm, exit: { kind: "code", code: 7, requested: false } }, 7],
  ["start-failed", { ...calm, wasReady: false, exit: { kind: "code", code: 1, requested: false } }, 1],
  ["crashed", { ...calm, exit: { kind: "signal", signal: "SIGSEGV", requested: false } }, 139],
  ["crashed", { ...calm, exit: { kind: "signal", signal: "SIGABRT", requested: true } }, 134],
  ["killed", { ...calm, exit: { kind: "signal", signal: "SIGKILL", requested: false } }, 137],
  ["killed", { ...calm, exit: { kind: "signal", signal: "SIGTERM", requested: false } }, 143],
  ["out-of-memory", { ...calm, oomKills: 1, exit: { kind: "signal", signal: "SIGKILL", requested: false } }, 137],
  ["crashed", { ...calm, oomKills: 1, exit: { kind: "signal", signal: "SIGSEGV", requested: false } }, 139],
  ["not-run", { ...calm, wasReady: false, exit: { kind: "not-run", code: 126, requested: false } }, 69],
];

test.each(ends)("%s: %j ends the agent with %i", (cause, facts, code) => {
  const end = classifyExit(facts, undefined);
  expect([end.cause, end.code]).toEqual([cause, code]);
  expect(end.reason).not.toContain("\n");
});

test("the reason after restarts has their number", () => {
  const facts = {
    oomKills: 0,
    wasReady: true,
    restarts: 2,
    exit: { kind: "signal", signal: "SIGSEGV", requested: false },
  } as const;
  expect(classifyExit(facts, undefined).reason).toMatch(/^Envoy crashed with signal SIGSEGV \(11\) after 2 restarts;/);
});

test("Envoy's own message is part of the reason when it failed to start", () => {
  const facts = { oomKills: 0, wasReady: false, exit: { kind: "code", code: 1, requested: false } } as const;
  expect(classifyExit(facts, "no such cluster").reason).toBe("Envoy failed to start with exit code 1: no such cluster");
});
