// SPDX-License-Identifier: Apache-2.0
import { chmod, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { exitCodeFor, startEnvoy } from "../../../src/envoy/index.ts";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { eventually } from "../../support/eventually.ts";
import { freePorts } from "../../support/free-ports.ts";
import { isRunning } from "../../support/process-state.ts";
import { staticEnvoy } from "../../support/static-envoy.ts";
import { startStopwatch } from "../../support/stopwatch.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { testLog } from "../../support/test-log.ts";

const soon = { clock: systemClock, random: () => 0 };

/** A program in Envoy's place that notes each run and ends with `end`. */
async function failing(directory: string, end: string) {
  const { config } = await staticEnvoy(directory);
  const binaryPath = join(directory, "program");
  const runs = join(directory, "runs");
  await writeFile(binaryPath, `#!/bin/sh\necho run >> ${runs}\n${end}\n`);
  await chmod(binaryPath, 0o755);
  const countRuns = async () => (await readFile(runs, "utf8")).split("\n").length - 1;
  return { config: { ...config, binaryPath }, countRuns };
}

describe("restarts of Envoy", () => {
  test("five failures with a budget of three restarts end it with the last exit code", async () => {
    await using directory = await temporaryDirectory();
    const { config, countRuns } = await failing(directory.path, "exit 7");
    const { log, records } = testLog();
    await using envoy = startEnvoy({ ...config, restarts: { budget: 3, windowMs: 60_000 } }, { log, ...soon });
    expect(exitCodeFor(await envoy.exited)).toBe(7);
    expect(await countRuns()).toBe(4);
    expect(envoy.counts.restarts).toBe(3);
    expect(records.filter(({ level }) => level === "error").map(({ message }) => message)).toEqual([
      "Envoy failed; the restart budget is used up",
    ]);
  });

  test("without a budget its end is the agent's", async () => {
    await using directory = await temporaryDirectory();
    const { config, countRuns } = await failing(directory.path, "exit 3");
    await using envoy = startEnvoy(config, { log: testLog().log, ...soon });
    expect(exitCodeFor(await envoy.exited)).toBe(3);
    expect(await countRuns()).toBe(1);
  });

  test("a clean end is not followed by another start", async () => {
    await using directory = await temporaryDirectory();
    const { config, countRuns } = await failing(directory.path, "exit 0");
    const restarts = { budget: 3, windowMs: 60_000 };
    await using envoy = startEnvoy({ ...config, restarts }, { log: testLog().log, ...soon });
    expect(exitCodeFor(await envoy.exited)).toBe(0);
    expect(await countRuns()).toBe(1);
  });

  test("an agent that is about to end starts none again, nor waits for the time to do so", async () => {
    await using directory = await temporaryDirectory();
    const { config, countRuns } = await failing(directory.path, "exit 7");
    const restarts = { budget: 9, windowMs: 60_000 };
    const { log, records } = testLog();
    await using envoy = startEnvoy({ ...config, restarts }, { log, clock: systemClock, random: () => 1 });
    await eventually(() => expect(records.filter(({ level }) => level === "warn")).toHaveLength(3), {
      withinMs: 5_000,
    });
    using watch = startStopwatch(() => []);
    envoy.beginShutdown();
    expect(exitCodeFor(await envoy.exited)).toBe(7);
    expect(watch.ms()).toBeLessThan(100);
    expect(await countRuns()).toBe(3);
  });

  test("a killed Envoy is started again and serves", async () => {
    await using directory = await temporaryDirectory();
    const [admin = 0, listener = 0] = await freePorts(2);
    const { config, untilLive } = await staticEnvoy(directory.path, {}, { admin, listener });
    const restarts = { budget: 1, windowMs: 60_000 };
    await using envoy = startEnvoy({ ...config, restarts }, { log: testLog().log, ...soon });
    await untilLive();
    const first = envoy.pid;
    process.kill(first, "SIGKILL");
    await eventually(
      () => {
        expect(envoy.pid).not.toBe(first);
      },
      { withinMs: 2_000 },
    );
    expect((await (await untilLive()).serverInfo()).state).toBe("LIVE");
    const exit = await envoy.terminate(400);
    expect(exitCodeFor(exit)).toBe(0);
    expect(isRunning(envoy.pid)).toBe(false);
  });

  test("a stop during the wait before a restart ends it at once", async () => {
    await using directory = await temporaryDirectory();
    const { config, countRuns } = await failing(directory.path, "exit 7");
    const { log, records } = testLog();
    const late = { log, clock: systemClock, random: () => 0.999 };
    await using envoy = startEnvoy({ ...config, restarts: { budget: 9, windowMs: 60_000 } }, late);
    await eventually(
      () => {
        expect(records.filter(({ level }) => level === "warn")).toHaveLength(3);
      },
      { withinMs: 3_000 },
    );
    using watch = startStopwatch(() => []);
    await envoy.terminate(400);
    expect(watch.ms()).toBeLessThan(100);
    expect(await countRuns()).toBe(3);
  });
});
