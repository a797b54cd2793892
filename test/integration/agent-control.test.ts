// SPDX-License-Identifier: Apache-2.0
import { existsSync } from "node:fs";
import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { eventually } from "../support/eventually.ts";
import { type Pod, startPod } from "../support/pod.ts";
import { startStopwatch } from "../support/stopwatch.ts";

describe("checklist of control and shutdown", () => {
  test("C5, B13: Envoy returns at once: the agent returns, with 75 because the pod was never ready", async () => {
    await using ca = await startFakeCa();
    await using pod = await startPod({
      ca,
      proxyConfig: { binaryPath: "./program" },
      prepare: async ({ directory }) => {
        await writeFile(join(directory, "program"), "#!/bin/sh\nexit 0\n");
        await chmod(join(directory, "program"), 0o755);
      },
    });
    expect(await pod.exited).toEqual({ code: 75, signal: null });
  });

  test("C6 the generated bootstrap is gone after a good end, and stays after a crash to be looked at", async () => {
    await using ca = await startFakeCa();
    await using good = await startPod({ ca });
    await using crashed = await startPod({ ca });
    await Promise.all([good.untilReady(), crashed.untilReady()]);
    const left = (pod: Pod): boolean => existsSync(join(pod.directory, "etc/istio/proxy/envoy-rev.json"));
    expect([left(good), left(crashed)]).toEqual([true, true]);
    good.kill("SIGTERM");
    for (const pid of crashed.envoyPids()) process.kill(pid, "SIGKILL");
    await Promise.all([good.exited, crashed.exited]);
    expect([left(good), left(crashed)]).toEqual([false, true]);
  });

  test("C9 two agents in a row with different ports: each Envoy becomes ready", async () => {
    await using ca = await startFakeCa();
    const seen = new Set<number>();
    for (let agent = 0; agent < 2; agent++) {
      await using pod = await startPod({ ca });
      await pod.untilReady();
      seen.add(pod.ports.admin);
      pod.kill("SIGTERM");
      expect(await pod.exited).toEqual({ code: 0, signal: null });
    }
    expect(seen.size).toBe(2);
  });
});

describe("the end of a pod that serves", () => {
  test("it is not ready while it drains; a second SIGTERM ends a long drain at once", async () => {
    await using ca = await startFakeCa();
    const env = { EXIT_ON_ZERO_ACTIVE_CONNECTIONS: "false", MINIMUM_DRAIN_DURATION: "20s" };
    await using pod = await startPod({ ca, env, proxyConfig: { terminationDrainDuration: "20s" } });
    await pod.untilReady();
    pod.kill("SIGTERM");
    await eventually(
      async () => {
        const { status, body } = await pod.readiness();
        expect([status, body]).toEqual([503, expect.stringContaining("is terminated")]);
      },
      { withinMs: 5_000 },
    );
    using watch = startStopwatch(() => [pod.pid, ...pod.envoyPids()]);
    pod.kill("SIGTERM");
    expect(await pod.exited).toEqual({ code: 0, signal: null });
    expect(watch.ms()).toBeLessThan(1_000);
    expect(pod.envoyPids()).toEqual([]);
  });

  test("/quitquitquit ends a long drain", async () => {
    await using ca = await startFakeCa();
    const env = { EXIT_ON_ZERO_ACTIVE_CONNECTIONS: "false", MINIMUM_DRAIN_DURATION: "20s" };
    await using pod = await startPod({ ca, env, proxyConfig: { terminationDrainDuration: "20s" } });
    await pod.untilReady();
    pod.kill("SIGTERM");
    await expect.poll(() => pod.log(), { timeout: 5_000 }).toContain("draining Envoy");
    const startMs = performance.now();
    await fetch(`http://127.0.0.1:${String(pod.ports.status)}/quitquitquit`, { method: "POST" });
    expect(await pod.exited).toEqual({ code: 0, signal: null });
    expect(performance.now() - startMs).toBeLessThan(2_000);
  });

  test("the grace period of the pod sets the deadline", async () => {
    await using ca = await startFakeCa();
    const env = { ATTACHE_TERMINATION_GRACE: "3", MINIMUM_DRAIN_DURATION: "20s" };
    await using pod = await startPod({ ca, env });
    await pod.untilReady();
    const startMs = performance.now();
    using watch = startStopwatch(() => [pod.pid, ...pod.envoyPids()]);
    pod.kill("SIGTERM");
    expect(await pod.exited).toEqual({ code: 0, signal: null });
    expect(performance.now() - startMs).toBeGreaterThan(1_500);
    expect(watch.ms()).toBeLessThan(2_500);
  });

  test("an Envoy that ignores SIGTERM is killed at the deadline, and the pod, never ready, ends with 75", async () => {
    await using ca = await startFakeCa();
    await using pod = await startPod({
      ca,
      args: ["--log_output_level=default:debug"],
      proxyConfig: { binaryPath: "./program" },
      prepare: async ({ directory }) => {
        await writeFile(join(directory, "program"), "#!/bin/sh\ntrap '' TERM\nwhile :; do sleep 0.1; done\n");
        await chmod(join(directory, "program"), 0o755);
      },
    });
    await expect.poll(() => pod.log(), { timeout: 5_000 }).toContain("status served");
    using watch = startStopwatch(() => [pod.pid, ...pod.envoyPids()]);
    pod.kill("SIGTERM");
    expect(await pod.exited).toEqual({ code: 75, signal: null });
    expect(watch.ms()).toBeLessThan(1_000);
  });
});
