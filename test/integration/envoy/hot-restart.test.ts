// SPDX-License-Identifier: Apache-2.0
import { existsSync } from "node:fs";
import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { type EnvoyConfig, exitCodeFor, startEnvoy } from "../../../src/envoy/index.ts";
import { createEnvoyAdmin } from "../../../src/envoy/running-envoy.ts";
import { type Clock, systemClock } from "../../../src/lib/async/clock.ts";
import { envoyBinary } from "../../support/envoy-binary.ts";
import { eventually } from "../../support/eventually.ts";
import { freePorts } from "../../support/free-ports.ts";
import { isRunning } from "../../support/process-state.ts";
import { renderStaticBootstrap, staticEnvoy } from "../../support/static-envoy.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { testLog } from "../../support/test-log.ts";

/** @param liveWithinMs more than a busy machine needs, unless the test is about the limit */
async function hotEnvoy(directory: string, liveWithinMs = 10_000) {
  const [admin = 0, listener = 0] = await freePorts(2);
  const ports = { admin, listener };
  const fixture = await staticEnvoy(directory, {}, ports);
  const hotRestart = { baseId: 100_000 + admin, liveWithinMs, parentShutdownMs: 1_500 };
  const config: EnvoyConfig = { ...fixture.config, hotRestart };
  const binaryPath = join(directory, "envoy");
  await writeFile(binaryPath, `#!/bin/sh\nexec ${envoyBinary()} "$@"\n`);
  await chmod(binaryPath, 0o755);
  const { log, records } = testLog();
  const deps = { log, clock: systemClock, random: Math.random };
  const client = createEnvoyAdmin(config.admin, deps);
  const bootstrapPath = join(directory, "bootstrap.json");
  return {
    ...fixture,
    binaryPath,
    bootstrapPath,
    ports,
    records,
    memory: `/dev/shm/envoy_shared_memory_${String(hotRestart.baseId * 10)}`,
    start: (restarts?: EnvoyConfig["restarts"], clock: Clock = systemClock) =>
      startEnvoy({ ...config, binaryPath, restarts }, { ...deps, clock }),
    epoch: async () => (await client.serverInfo()).restartEpoch,
    serves: async () => (await fetch(`http://127.0.0.1:${String(listener)}/`)).status,
  };
}

describe("hot restart", () => {
  test("a new Envoy that fails while the old one is still on its way out is Envoy's end", async () => {
    await using directory = await temporaryDirectory();
    const fixture = await hotEnvoy(directory.path);
    await using envoy = fixture.start();
    await fixture.untilLive();
    const first = envoy.pid;
    await envoy.hotRestart();
    expect(isRunning(first)).toBe(true);
    process.kill(envoy.pid, "SIGKILL");
    expect(exitCodeFor(await envoy.exited)).toBe(137);
    expect(isRunning(first)).toBe(false);
  });

  test("a new Envoy that fails is started again in place of both", async () => {
    await using directory = await temporaryDirectory();
    const fixture = await hotEnvoy(directory.path);
    await using envoy = fixture.start({ budget: 1, windowMs: 60_000 });
    await fixture.untilLive();
    const first = envoy.pid;
    await envoy.hotRestart();
    process.kill(envoy.pid, "SIGKILL");
    await eventually(async () => expect([await fixture.epoch(), await fixture.serves()]).toEqual([0, 200]), {
      withinMs: 10_000,
    });
    expect([isRunning(first), envoy.counts.restarts, envoy.exit]).toEqual([false, 1, undefined]);
  });

  test("a shutdown that begins while an older epoch is killed starts no other Envoy", async () => {
    await using directory = await temporaryDirectory();
    const fixture = await hotEnvoy(directory.path);
    let onDelay: (() => void) | undefined;
    const clock: Clock = {
      ...systemClock,
      delay(ms, signal) {
        if (onDelay === undefined) return systemClock.delay(ms, signal);
        onDelay();
        onDelay = undefined;
        return Promise.resolve();
      },
    };
    await using envoy = fixture.start({ budget: 1, windowMs: 60_000 }, clock);
    await fixture.untilLive();
    await envoy.hotRestart();
    const second = envoy.pid;
    // the backoff before the restart; when it is over, the older epoch is killed, and only then the next tick begins
    onDelay = () => {
      process.nextTick(() => {
        void envoy.terminate(400);
      });
    };
    process.kill(second, "SIGKILL");
    await eventually(() => expect(envoy.exit).toBeDefined(), { withinMs: 3_000 });
    expect([exitCodeFor(await envoy.exited), envoy.pid]).toEqual([137, second]);
    expect(envoy.counts.restarts).toBe(0);
  });

  test("at the end no other Envoy begins, and one that has begun is waited for", async () => {
    await using directory = await temporaryDirectory();
    const fixture = await hotEnvoy(directory.path);
    await using envoy = fixture.start();
    await fixture.untilLive();
    const first = envoy.pid;
    const outcome = envoy.hotRestart();
    envoy.beginShutdown();
    await envoy.untilSettled();
    expect(await outcome).toEqual({ kind: "failed", reason: "the agent is shutting down" });
    expect(await envoy.hotRestart()).toEqual({ kind: "failed", reason: "the agent is shutting down" });
    expect([envoy.pid, await fixture.epoch(), envoy.counts.failedHotRestarts]).toEqual([first, 0, 0]);
  });

  test("a new Envoy takes over, the old one ends by itself, and nothing is left at the end", async () => {
    await using directory = await temporaryDirectory();
    const fixture = await hotEnvoy(directory.path);
    await using envoy = fixture.start();
    await fixture.untilLive();
    const first = envoy.pid;
    const outcome = await envoy.hotRestart();
    expect(outcome).toEqual({ kind: "completed", epoch: 1, pid: envoy.pid });
    expect([await fixture.epoch(), await fixture.serves(), envoy.pid !== first]).toEqual([1, 200, true]);
    await eventually(
      () => {
        expect(isRunning(first)).toBe(false);
      },
      { withinMs: 4_000 },
    );
    expect(envoy.exit).toBeUndefined();
    expect((await envoy.hotRestart()).kind).toBe("completed");
    const exit = await envoy.terminate(400);
    expect(exitCodeFor(exit)).toBe(0);
    expect(envoy.counts).toEqual({ failures: 0, restarts: 0, hotRestarts: 2, failedHotRestarts: 0 });
    expect(existsSync(fixture.memory)).toBe(false);
  });

  test("a bootstrap that would be refused never reaches the running Envoy, and the refusal says why", async () => {
    await using directory = await temporaryDirectory();
    const fixture = await hotEnvoy(directory.path);
    await using envoy = fixture.start();
    await fixture.untilLive();
    const first = envoy.pid;
    await writeFile(fixture.bootstrapPath, '{"static_resources": {"listeners": 5}}');
    const outcome = await envoy.hotRestart();
    expect(outcome).toMatchObject({ kind: "failed" });
    expect(outcome.kind === "failed" && outcome.reason).toMatch(
      /Envoy rejected the bootstrap: .*static_resources.listeners/,
    );
    expect([envoy.pid, await fixture.epoch(), await fixture.serves()]).toEqual([first, 0, 200]);
    expect(fixture.records.filter(({ level }) => level === "error")).toHaveLength(1);
  });

  test("a broken binary leaves the old epoch serving; a good one then takes over", async () => {
    await using directory = await temporaryDirectory();
    const fixture = await hotEnvoy(directory.path);
    await using envoy = fixture.start();
    await fixture.untilLive();
    await writeFile(fixture.binaryPath, "not a program");
    expect(await envoy.hotRestart()).toMatchObject({ kind: "failed" });
    expect([await fixture.epoch(), await fixture.serves(), envoy.counts.failedHotRestarts]).toEqual([0, 200, 1]);
    await writeFile(fixture.binaryPath, `#!/bin/sh\nexec ${envoyBinary()} "$@"\n`);
    expect(await envoy.hotRestart()).toMatchObject({ kind: "completed", epoch: 1 });
    expect(await fixture.serves()).toBe(200);
  });

  test("an epoch that does not become live in time is ended, and does not stand in the way of the next", async () => {
    await using directory = await temporaryDirectory();
    const fixture = await hotEnvoy(directory.path, 2_000);
    await using envoy = fixture.start();
    await fixture.untilLive();
    const waiting = { ...renderStaticBootstrap(fixture.ports), ...waitsForListeners };
    await writeFile(fixture.bootstrapPath, JSON.stringify(waiting));
    const outcome = await envoy.hotRestart();
    expect(outcome).toEqual({ kind: "failed", reason: "no response within 2000 ms" });
    expect(await fixture.serves()).toBe(200);
    await writeFile(fixture.bootstrapPath, JSON.stringify(renderStaticBootstrap(fixture.ports)));
    expect(await envoy.hotRestart()).toMatchObject({ kind: "completed", epoch: 1 });
    expect([await fixture.epoch(), await fixture.serves()]).toEqual([1, 200]);
  });

  test("it is off unless asked for", async () => {
    await using directory = await temporaryDirectory();
    const { config, untilLive } = await staticEnvoy(directory.path);
    await using envoy = startEnvoy(config, { log: testLog().log, clock: systemClock, random: Math.random });
    await untilLive();
    expect(await envoy.hotRestart()).toMatchObject({ kind: "failed" });
    expect(envoy.exit).toBeUndefined();
  });
});

/** Listeners are to come from a folder's file that does not exist, and Envoy waits for them without end. */
const waitsForListeners = {
  node: { id: "waiting", cluster: "waiting" },
  dynamic_resources: {
    lds_config: {
      initial_fetch_timeout: "0s",
      resource_api_version: "V3",
      api_config_source: {
        api_type: "GRPC",
        transport_api_version: "V3",
        grpc_services: [{ google_grpc: { target_uri: "127.0.0.1:1", stat_prefix: "xds" } }],
      },
    },
  },
};
