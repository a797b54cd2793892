// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { systemClock } from "../../src/lib/async/clock.ts";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { eventually } from "../support/eventually.ts";
import { startPod } from "../support/pod.ts";
import { startStopwatch } from "../support/stopwatch.ts";

test("Envoy killed: the agent ends with 137 within a second", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca });
  await pod.untilReady();
  using watch = startStopwatch(() => [pod.pid]);
  for (const pid of pod.envoyPids()) process.kill(pid, "SIGKILL");
  expect(await pod.exited).toEqual({ code: 137, signal: null });
  expect(watch.ms()).toBeLessThan(1_000);
});

test("the agent killed: Envoy is gone within two seconds", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca });
  await pod.untilReady();
  expect(pod.envoyPids()).not.toEqual([]);
  pod.kill("SIGKILL");
  await pod.exited;
  await eventually(
    () => {
      expect(pod.envoyPids()).toEqual([]);
    },
    { withinMs: 2_000 },
  );
});

describe("SIGTERM at any moment of the start ends everything within a second", () => {
  const momentsMs = [0, 5, 15, 25, 35, 50, 70, 100, 150, 220, 300];
  test.each(momentsMs)("after %d ms", async (momentMs) => {
    await using ca = await startFakeCa();
    await using pod = await startPod({ ca });
    await systemClock.delay(momentMs + Math.random() * 5);
    using watch = startStopwatch(() => [pod.pid, ...pod.envoyPids()]);
    pod.kill("SIGTERM");
    const exit = await pod.exited;
    expect(watch.ms()).toBeLessThan(1_000);
    // Before its first instruction a process cannot do better than its signal's default.
    if (exit.signal !== "SIGTERM") expect(exit.code).toBe(pod.log().includes("ready in ") ? 0 : 75);
    expect(pod.envoyPids()).toEqual([]);
  });
});

test("SIGTERM while another program's socket is waited for ends the agent at once, as one that was never ready", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca, env: { ATTACHE_SDS_SOURCE: "foreign" } });
  await systemClock.delay(1_000);
  const askedMs = performance.now();
  pod.kill("SIGTERM");
  expect(await pod.exited).toEqual({ code: 75, signal: null });
  expect(performance.now() - askedMs).toBeLessThan(1_000);
  expect(pod.log()).toMatch(/^Error: the pod ended before it was ready/);
});

test("signals that mean nothing here change nothing", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca });
  await pod.untilReady();
  for (const signal of ["SIGUSR2", "SIGALRM", "SIGPIPE", "SIGWINCH"] as const) {
    pod.kill(signal);
    expect((await pod.readiness()).status).toBe(200);
  }
  pod.kill("SIGTERM");
  expect(await pod.exited).toEqual({ code: 0, signal: null });
});

test("SIGTERM once ready: a drain, then the end with 0", async () => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca });
  await pod.untilReady();
  pod.kill("SIGTERM");
  expect(await pod.exited).toEqual({ code: 0, signal: null });
  expect(pod.envoyPids()).toEqual([]);
});
