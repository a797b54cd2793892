// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { eventually } from "../support/eventually.ts";
import { startPod } from "../support/pod.ts";

test("agent and Envoy may open as many files as the hard limit says, and the debug log shows how many", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({
    ca,
    launcher: ["prlimit", "--nofile=1024:4096"],
    args: ["--log_output_level=host:debug"],
  });
  await pod.untilReady();
  const limitOf = (pid: number): string | undefined =>
    /^Max open files +(\d+)/m.exec(readFileSync(`/proc/${String(pid)}/limits`, "utf8"))?.[1];
  expect([pod.pid, ...pod.envoyPids()].map(limitOf)).toEqual(["4096", "4096"]);
  await eventually(() => expect(pod.log()).toMatch(/host\topen file limits\topenFiles=4096 openFilesHard=4096/), {
    withinMs: 2_000,
  });
});

test("each phase of the start has one debug line with its own time, and they add up", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca, args: ["--log_output_level=default:debug"] });
  await pod.untilReady();
  const phases = await eventually(
    () => {
      const lines = [
        ...pod.log().matchAll(/start phase ended\tphase="?([^"\t]+?)"? durationMs=(\S+) sinceStartMs=(\S+)/g),
      ];
      const found = lines.map(
        ([, name = "", durationMs, sinceMs]) => [name, Number(durationMs), Number(sinceMs)] as const,
      );
      expect(found.map(([name]) => name)).toContain("ready");
      return found;
    },
    { withinMs: 2_000 },
  );
  expect(new Set(phases.map(([name]) => name)).size).toBe(phases.length);
  expect(phases.map(([name]) => name)).toEqual(
    expect.arrayContaining(["Envoy started", "SDS served", "status served", "certificate in Envoy", "ready"]),
  );
  const sumMs = phases.reduce((sum, [, durationMs]) => sum + durationMs, 0);
  expect(sumMs).toBeCloseTo(phases.at(-1)?.[2] ?? 0, 0);
});

test("a limit of open files that is too low is logged at the start, with what is needed", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca, launcher: ["prlimit", "--nofile=256:256"] });
  await eventually(
    () => expect(pod.log()).toContain("the limit of open files is too low\tlimit=256 needed=512 advice="),
    {
      withinMs: 5_000,
    },
  );
});
