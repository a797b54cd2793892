// SPDX-License-Identifier: Apache-2.0
import { spawnSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync } from "node:fs";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { makeMemoryGroup } from "../support/control-group.ts";
import { type PodOptions, startPod } from "../support/pod.ts";

/** On SIGUSR2 the heap fills up. */
const filler = `process.on("SIGUSR2", () => {
  const all = [];
  for (;;) all.push(new Array(1000).fill(all.length).map(String));
});`;

const options = (ca: PodOptions["ca"]): PodOptions => ({
  ca,
  env: {
    NODE_OPTIONS: "--require=./filler.cjs",
    ATTACHE_TERMINATION_MESSAGE_PATH: "./termination",
    A_SECRET: "do-not-show",
  },
  prepare: ({ directory }) => writeFile(join(directory, "filler.cjs"), filler),
});

/** The directory of the bootstrap, which survives the container. */
const bootstrapDirectory = "etc/istio/proxy";

test("an agent whose heap is full says so in the termination message, and the next start logs it once", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod(options(ca));
  await pod.untilReady();
  // only process 1 needs a handler: for any other one, the signal says what happened
  expect(abortIsCaught(pod.pid)).toBe(false);
  pod.kill("SIGUSR2");
  expect(await pod.exited).toEqual({ code: null, signal: "SIGABRT" });
  const message = await readFile(join(pod.directory, "termination"), "utf8");
  expect(message).toMatch(/^attache left no crash report\..* 70 or 134: its JavaScript engine aborted, out of memory/);
  const report = join(pod.directory, bootstrapDirectory, "attache-abort.json");
  expect(message).toContain("attache-abort.json");
  expect(await readFile(report, "utf8")).not.toContain("do-not-show");

  const prepare: PodOptions["prepare"] = async (next) => {
    await options(ca).prepare?.(next);
    mkdirSync(join(next.directory, bootstrapDirectory), { recursive: true });
    copyFileSync(report, join(next.directory, bootstrapDirectory, "attache-abort.json"));
  };
  await using next = await startPod({ ...options(ca), prepare });
  await next.untilReady();
  expect(next.log().match(/the JavaScript engine aborted in the previous run/g)).toHaveLength(1);
  expect(next.log()).toMatch(/heap out of memory/);
  next.kill("SIGTERM");
  expect((await next.exited).code).toBe(0);
  expect(existsSync(join(next.directory, "termination"))).toBe(false);
  expect(existsSync(join(next.directory, bootstrapDirectory, "attache-abort.json"))).toBe(false);
});

const namespace = ["-pf", "--mount-proc", "--kill-child"];
const canBeOne = spawnSync("unshare", [...namespace, "true"]).status === 0;

test.runIf(canBeOne)("as process 1 an agent whose heap is full exits with 70, not with a code of Envoy's", async () => {
  await using ca = await startFakeCa();
  const env = { ...options(ca).env, NODE_OPTIONS: "--require=./filler.cjs --max-old-space-size=40" };
  await using pod = await startPod({ ...options(ca), env, launcher: ["unshare", ...namespace] });
  await pod.untilReady();
  const inside = pod.envoyPids().find((pid) => abortIsCaught(pid)) ?? 0;
  expect(inside).toBeGreaterThan(0);
  process.kill(inside, "SIGUSR2");
  expect(await pod.exited).toEqual({ code: 70, signal: null });
});

test("in a container of 64 MiB a full heap ends the agent before the system kills it", async ({ skip }) => {
  using group = makeMemoryGroup(64 * 2 ** 20) ?? skip("this user may not limit memory");
  await using ca = await startFakeCa();
  await using pod = await startPod({ ...options(ca), launcher: group.launcher });
  await pod.untilReady();
  pod.kill("SIGUSR2");
  expect(await pod.exited).toEqual({ code: null, signal: "SIGABRT" });
  expect(await readFile(join(pod.directory, "termination"), "utf8")).toContain("its JavaScript engine aborted");
});

/** Whether the process has a handler for SIGABRT. Source: proc_pid_status(5), SigCgt */
function abortIsCaught(pid: number): boolean {
  const status = spawnSync("cat", [`/proc/${String(pid)}/status`]).stdout.toString();
  const caught = /^SigCgt:\s*([0-9a-f]+)$/m.exec(status)?.[1] ?? "0";
  return (BigInt(`0x${caught}`) & (1n << 5n)) !== 0n;
}
