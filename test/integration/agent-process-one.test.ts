// SPDX-License-Identifier: Apache-2.0
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { eventually } from "../support/eventually.ts";
import { startPod } from "../support/pod.ts";

const namespace = ["unshare", "-pf", "--mount-proc", "--kill-child"];
const [unshare = "", ...words] = namespace;
const canBeOne = spawnSync(unshare, [...words, "true"]).status === 0;

const textOf = (path: string): string => {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
};

const isProcessOne = (pid: number): boolean => /^NSpid:\s+\d+\s+1$/m.test(textOf(`/proc/${String(pid)}/status`));

function childrenOf(parent: number): readonly string[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((pid) => textOf(`/proc/${pid}/stat`))
    .filter((stat) => new RegExp(`\\) [A-Z] ${String(parent)} `).test(stat));
}

test.runIf(canBeOne)("as process 1 the agent reaps 1,000 orphans, and ends as elsewhere", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca, launcher: namespace });
  await pod.untilReady();
  const agent = pod.envoyPids().find(isProcessOne) ?? 0;
  expect(childrenOf(agent)).toHaveLength(1);
  const script = "i=0; while [ $i -lt 1000 ]; do (sleep 0.3 &); i=$((i+1)); done";
  const inside = spawn("nsenter", ["-t", String(agent), "-p", "-m", "sh", "-c", script], { stdio: "ignore" });
  const adopted = eventually(() => expect(childrenOf(agent).length).toBeGreaterThan(50), { withinMs: 10_000 });
  await Promise.all([once(inside, "exit"), adopted]);
  await eventually(() => expect(childrenOf(agent)).toHaveLength(1), { withinMs: 10_000 });
  expect(childrenOf(agent).join("\n")).toContain("(envoy)");
  expect((await pod.readiness()).status).toBe(200);
  process.kill(agent, "SIGTERM");
  expect(await pod.exited).toEqual({ code: 0, signal: null });
});

test.runIf(canBeOne)("as process 1 the agent ends with Envoy's code", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca, launcher: namespace });
  await pod.untilReady();
  const envoy = pod.envoyPids().find((pid) => textOf(`/proc/${String(pid)}/comm`) === "envoy\n") ?? 0;
  process.kill(envoy, "SIGSEGV");
  expect(await pod.exited).toEqual({ code: 139, signal: null });
});
