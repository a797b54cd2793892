// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Finding } from "../../../../src/diagnosis/doctor/check.ts";
import type { ControlGroupPlaces } from "../../../../src/diagnosis/doctor/machine/control-group-files.ts";
import { restartFindings } from "../../../../src/diagnosis/doctor/machine/envoy-restarts.ts";
import type { ProcessFacts } from "../../../../src/diagnosis/doctor/machine/processes.ts";
import { cpuFindings, memoryFindings, pidFindings } from "../../../../src/diagnosis/doctor/machine/resource-limits.ts";
import { memoryShortage } from "../../../../src/diagnosis/doctor/machine/spare-memory.ts";
import { temporaryDirectory } from "../../../support/temporary-directory.ts";

const mib = 1024 * 1024;
let directory: Awaited<ReturnType<typeof temporaryDirectory>>;
beforeAll(async () => {
  directory = await temporaryDirectory();
});
afterAll(async () => {
  await directory[Symbol.asyncDispose]();
});

let serial = 0;

/** Control groups with these files. */
function places(list: string, files: Readonly<Record<string, string | number>>): ControlGroupPlaces {
  const mount = join(directory.path, String(serial++));
  const groups = join(mount, "list");
  for (const [name, content] of Object.entries<string | number>({ list, ...files })) {
    mkdirSync(dirname(join(mount, name)), { recursive: true });
    writeFileSync(join(mount, name), `${String(content)}\n`);
  }
  return { groups, mount };
}

const unified = (files: Readonly<Record<string, string | number>>): ControlGroupPlaces => places("0::/", files);
const outcomes = (findings: readonly Finding[]): readonly string[] =>
  findings.map(({ outcome, check, fact }) => `${outcome} ${check}: ${fact}`);

test("memory in use near the limit fails, with the size at which the agent rejects work", async () => {
  const used = {
    "memory.max": 8_192 * mib,
    "memory.current": 9_000 * mib,
    "memory.stat": `inactive_file ${String(40 * mib)}`,
  };
  expect(outcomes(await memoryFindings({ isRunning: true }, unified(used)))[0]).toMatch(
    // what this process has in use itself does not count
    /^fail limits.memory: 8\d{3} MiB of 8192 MiB are in use; the agent rejects work for others above \d{4} MiB$/,
  );
  expect(outcomes(await memoryFindings({ isRunning: false }, unified(used)))).toEqual([
    "ok limits.memory: memory limit 8192 MiB",
  ]);
});

test("kills at the memory limit are a warning, in both versions of control groups", async () => {
  const kills = "warn limits.out-of-memory: the system has killed 2 processes of this container at its memory limit";
  const files = { "memory.max": 512 * mib, "memory.events": "oom 2\noom_kill 2" };
  expect(outcomes(await memoryFindings({ isRunning: false }, unified(files)))).toContain(kills);
  const legacy = places("5:memory:/pod\n", {
    "memory/pod/memory.limit_in_bytes": 512 * mib,
    "memory/pod/memory.oom_control": "under_oom 0\noom_kill 2",
  });
  expect(outcomes(await memoryFindings({ isRunning: false }, legacy))).toEqual([
    "ok limits.memory: memory limit 512 MiB",
    kills,
  ]);
});

test("no memory limit, and the number that version 1 has without one, are in order", async () => {
  expect(outcomes(await memoryFindings({ isRunning: true }, unified({ "memory.max": "max" })))).toEqual([
    "ok limits.memory: no memory limit",
  ]);
  const legacy = places("5:memory:/\n", { "memory/memory.limit_in_bytes": "9223372036854771712" });
  expect(outcomes(await memoryFindings({ isRunning: true }, legacy))).toEqual(["ok limits.memory: no memory limit"]);
});

test("processor time that is often spent is a warning, once it is more than the start", async () => {
  const cpu = (max: string, periods: number, throttled: number): ControlGroupPlaces =>
    unified({ "cpu.max": max, "cpu.stat": `nr_periods ${String(periods)}\nnr_throttled ${String(throttled)}` });
  expect(outcomes(await cpuFindings(cpu("50000 100000", 1_000, 400)))).toEqual([
    "warn limits.cpu: the CPU limit of 500m of a processor was spent in 40 % of all periods",
  ]);
  expect(outcomes(await cpuFindings(cpu("50000 100000", 100, 90)))).toEqual([
    "ok limits.cpu: CPU limit 500m of a processor",
  ]);
  expect(outcomes(await cpuFindings(cpu("max 100000", 0, 0)))).toEqual(["ok limits.cpu: no limit of processor time"]);
  const legacy = places("4:cpu,cpuacct:/\n", { "cpu/cpu.cfs_quota_us": 5_000, "cpu/cpu.cfs_period_us": 100_000 });
  expect(outcomes(await cpuFindings(legacy))).toEqual([
    "warn limits.cpu: the CPU limit is 50m of a processor: start and probes take seconds",
  ]);
});

test("processes near their limit are a warning", async () => {
  const pids = (max: string, current: number): ControlGroupPlaces =>
    unified({ "pids.max": max, "pids.current": current });
  expect(outcomes(await pidFindings(pids("100", 95)))).toEqual([
    "warn limits.pids: 95 of 100 processes and threads are in use",
  ]);
  expect(outcomes(await pidFindings(pids("max", 95)))).toEqual(["ok limits.pids: no limit of processes"]);
});

test("checks are made only where there is memory for them", () => {
  const memory = (used: number): ControlGroupPlaces =>
    unified({ "memory.max": 64 * mib, "memory.current": used * mib, "memory.stat": "" });
  expect(memoryShortage(memory(60))).toMatch(/^4 MiB are left of the memory limit of 64 MiB/);
  expect(memoryShortage(memory(40))).toBeUndefined();
  expect(memoryShortage(unified({ "memory.max": "max" }))).toBeUndefined();
});

test("an Envoy that is much younger than its agent was restarted", () => {
  const facts = (startedAtSeconds: number): ProcessFacts => {
    return { pid: 1, parentPid: 0, name: "envoy", state: "S", args: [], startedAtSeconds };
  };
  const found = (epoch: number, agent: number, envoy: number): readonly string[] =>
    outcomes(restartFindings({ restartEpoch: epoch }, { agent: facts(agent), envoys: [facts(envoy)] }));
  expect(found(0, 100, 160)).toEqual([
    "warn envoy-admin.restarts: Envoy was restarted: it was started 60 s after the agent",
  ]);
  expect(found(0, 100, 101)).toEqual([]);
  expect(found(2, 100, 160)).toEqual(["ok envoy-admin.restarts: hot restarts so far: 2"]);
});
