// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { closeSync, constants, openSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { eventually } from "../support/eventually.ts";
import { startPod } from "../support/pod.ts";
import { temporaryDirectory } from "../support/temporary-directory.ts";

/** A descriptor of a pipe that a child gets as its output; `O_RDWR` keeps the pipe open though nobody reads. */
async function openUnread() {
  const directory = await temporaryDirectory();
  const path = join(directory.path, "pipe");
  execFileSync("mkfifo", [path]);
  const both = openSync(path, constants.O_RDWR);
  const output = openSync(path, constants.O_WRONLY);
  return {
    output,
    closeReader: () => {
      closeSync(both);
    },
    async [Symbol.asyncDispose]() {
      closeSync(output);
      await directory[Symbol.asyncDispose]();
    },
  };
}

test("an agent whose output nobody reads goes on answering probes, and ends in time", async () => {
  await using pipe = await openUnread();
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca, output: pipe.output });
  await pod.untilReady();
  const status = `http://127.0.0.1:${String(pod.ports.status)}`;
  // each hang-up is a line of the log; the pipe holds 64 KiB
  let slowestMs = 0;
  for (let round = 0; round < 2_000; round++) {
    const startMs = performance.now();
    expect((await fetch(`${status}/healthz/ready`)).status).toBe(200);
    slowestMs = Math.max(slowestMs, performance.now() - startMs);
    pod.kill("SIGHUP");
  }
  expect(slowestMs).toBeLessThan(1_500);
  const startMs = performance.now();
  pod.kill("SIGTERM");
  expect(await pod.exited).toEqual({ code: 0, signal: null });
  expect(performance.now() - startMs).toBeLessThan(4_000);
  pipe.closeReader();
});

test("an agent whose output's reader has gone lives on", async () => {
  await using pipe = await openUnread();
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca, output: pipe.output });
  pipe.closeReader();
  await pod.untilReady();
  pod.kill("SIGHUP");
  await eventually(async () => expect((await pod.readiness()).status).toBe(200), { withinMs: 1_000 });
  pod.kill("SIGTERM");
  expect(await pod.exited).toEqual({ code: 0, signal: null });
});
