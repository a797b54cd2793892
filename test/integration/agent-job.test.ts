// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { expect, test } from "vitest";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { startPod } from "../support/pod.ts";
import { startStopwatch } from "../support/stopwatch.ts";

const launcher = join(import.meta.dirname, "../../bin/attache");

test("a job's program ends with 3: attache exec returns 3, and the agent ends with 0 within a second", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca });
  await pod.untilReady();
  const words = ["exec", "--debug-port", String(pod.ports.status), "--", "/bin/sh", "-c", "exit 3"];
  const job = spawn(launcher, words, { stdio: ["ignore", "inherit", "inherit"] });
  const [code] = (await once(job, "exit")) as [number];
  using watch = startStopwatch(() => [pod.pid, ...pod.envoyPids()]);
  expect(code).toBe(3);
  expect(await pod.exited).toEqual({ code: 0, signal: null });
  expect(watch.ms()).toBeLessThan(1_000);
  expect(pod.envoyPids()).toEqual([]);
});
