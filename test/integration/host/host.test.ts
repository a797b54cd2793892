// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { startHost } from "../../../src/host/index.ts";
import { parseLimits } from "../../../src/lib/process-limits.ts";
import { watchOwnChildren } from "../../../src/host/orphans.ts";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { eventually } from "../../support/eventually.ts";
import { testLog } from "../../support/test-log.ts";

async function runAdopter(...args: readonly string[]): Promise<unknown> {
  const flags = ["--disable-warning=ExperimentalWarning", "test/fixtures/host/adopter.ts", ...args];
  const child = spawn(process.execPath, flags, { stdio: ["ignore", "pipe", "inherit"] });
  let output = "";
  for await (const chunk of child.stdout as AsyncIterable<Buffer>) output += chunk.toString();
  return JSON.parse(output) as unknown;
}

describe("a process that adopts orphans", () => {
  test("reaps 1,000 of them, and still learns its own child's exit code", async () => {
    expect(await runAdopter("1000", "reap")).toEqual({ code: 5, zombies: 0 });
  });

  test("would keep them as zombies otherwise", async () => {
    expect(await runAdopter("20", "leave")).toEqual({ code: 5, zombies: 20 });
  });
});

test("every child that this process starts is known until it has exited", async () => {
  using own = watchOwnChildren();
  const child = spawn("/bin/cat", { stdio: ["pipe", "ignore", "ignore"] });
  const pid = child.pid ?? 0;
  expect([own.has(pid), own.has(process.pid)]).toEqual([true, false]);
  child.stdin.end();
  await once(child, "exit");
  expect(own.has(pid)).toBe(false);
  const missing = spawn("/nowhere/program");
  await once(missing, "error");
  expect(own.has(0)).toBe(false);
});

test("core files are forbidden for agent and Envoy unless enabled", async () => {
  const launch = ["--core=1000:1000", "--", process.execPath, "-e", "setInterval(() => 0, 1000)"];
  const child = spawn("/usr/bin/prlimit", launch, { stdio: "ignore" });
  try {
    const pid = child.pid ?? 0;
    const { log, records } = testLog();
    const deps = { log, clock: systemClock, isOwnChild: () => true, adoptsOrphans: false };
    const coreOf = async () => parseLimits(await readFile(`/proc/${String(pid)}/limits`, "utf8")).coreFileBytes;
    await eventually(
      async () => {
        expect(await coreOf()).toEqual({ soft: 1_000, hard: 1_000 });
      },
      { withinMs: 2_000 },
    );
    const kept = await startHost({ coreDumps: true }, pid, deps);
    await kept[Symbol.asyncDispose]();
    expect(await coreOf()).toEqual({ soft: 1_000, hard: 1_000 });
    expect(records.find(({ message }) => message === "open file limits")?.fields).toMatchObject({
      openFiles: expect.any(Number) as number,
    });
    const host = await startHost({ coreDumps: false }, pid, deps);
    expect(await host.oomKillsSinceStart()).toBe(0);
    await host[Symbol.asyncDispose]();
    expect(await coreOf()).toEqual({ soft: 0, hard: 0 });
  } finally {
    child.kill("SIGKILL");
  }
});
