// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { type HealthCheckConfig, startHealthChecks, type WorkloadHealth } from "../../../src/xds/index.ts";
import { eventually } from "../../support/eventually.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { testLog } from "../../support/test-log.ts";

test("each change is reported once, after as many equal results as configured; Envoy is checked first", async () => {
  const clock = new FakeClock();
  const reports: WorkloadHealth[] = [];
  const results: (string | undefined)[] = [undefined, "a", undefined, "b", "c", "d", undefined, undefined, undefined];
  const envoy: (string | undefined)[] = ["Envoy is not live"];
  const pace = { initialDelayMs: 5_000, periodMs: 10_000, timeoutMs: 1_000, successThreshold: 2, failureThreshold: 3 };
  const method = { kind: "tcp", host: "127.0.0.1", port: 1 } as const;
  const config: HealthCheckConfig = { ...pace, method, sourceAddress: undefined };
  await using _checks = startHealthChecks(config, {
    log: testLog().log,
    clock,
    envoyProblem: () => Promise.resolve(envoy.shift()),
    check: () => {
      const result = results.shift();
      return result === undefined ? Promise.resolve() : Promise.reject(new Error(result));
    },
    report: (health) => reports.push(health),
  });
  await clock.advance(4_999);
  expect(envoy).toHaveLength(1);
  await clock.advance(1);
  await eventually(
    () => {
      expect(envoy).toHaveLength(0);
    },
    { withinMs: 1_000 },
  );
  for (let round = 0; round < 10; round++) await clock.advance(10_000);
  expect(reports).toEqual([{ kind: "unhealthy", reason: "d" }, { kind: "healthy" }]);
});

test.each([
  ["V4 TCP closed, open, closed", ["closed", undefined, "closed"], ["unhealthy", "healthy", "unhealthy"]],
  [
    "V5 HTTP ok, bad, bad, ok, bad",
    [undefined, "bad", "bad", undefined, "bad"],
    ["healthy", "unhealthy", "healthy", "unhealthy"],
  ],
  ["B16 another reason", ["Envoy is not ready", "closed", "closed", undefined], ["unhealthy", "unhealthy", "healthy"]],
] as const)("%s with thresholds of 1: each change is reported, and nothing twice", async (_name, results, expected) => {
  const clock = new FakeClock();
  const reports: WorkloadHealth[] = [];
  const pace = { initialDelayMs: 0, periodMs: 1_000, timeoutMs: 500, successThreshold: 1, failureThreshold: 1 };
  const method = { kind: "tcp", host: "127.0.0.1", port: 1 } as const;
  const left: (string | undefined)[] = [...results];
  await using _checks = startHealthChecks(
    { ...pace, method, sourceAddress: undefined },
    {
      log: testLog().log,
      clock,
      envoyProblem: () => Promise.resolve(undefined),
      check: () => {
        const result = left.shift();
        return result === undefined ? Promise.resolve() : Promise.reject(new Error(result));
      },
      report: (health) => reports.push(health),
    },
  );
  while (left.length > 0) await clock.advance(1_000);
  await eventually(
    () => {
      expect(reports.map(({ kind }) => kind)).toEqual(expected);
    },
    { withinMs: 1_000 },
  );
});
