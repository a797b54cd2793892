// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { systemClock } from "../../src/lib/async/clock.ts";
import { type FakeCa, startFakeCa } from "../fakes/fake-ca.ts";
import { startPod } from "../support/pod.ts";
import { startStopwatch } from "../support/stopwatch.ts";

const stops = 50;

/** From the first instruction to well after the pod is ready, as long as that takes on this machine. */
async function latestMomentMs(ca: FakeCa): Promise<number> {
  const startMs = performance.now();
  await using pod = await startPod({ ca });
  await pod.untilReady();
  return 1.5 * (performance.now() - startMs);
}

test("SIGTERM at 50 random instants of the start: the end within a second, and nothing left behind", async () => {
  await using ca = await startFakeCa();
  const latestMs = await latestMomentMs(ca);
  const slow: string[] = [];
  for (let stop = 0; stop < stops; stop++) {
    await using pod = await startPod({ ca });
    const instantMs = Math.random() * latestMs;
    await systemClock.delay(instantMs);
    using watch = startStopwatch(() => [pod.pid, ...pod.envoyPids()]);
    pod.kill("SIGTERM");
    const exit = await pod.exited;
    const tookMs = watch.ms();
    // before its first instruction a process cannot do better than its signal's default
    const code = pod.log().includes("ready in ") ? 0 : 75;
    expect(exit.signal === "SIGTERM" ? code : exit.code).toBe(code);
    expect(pod.envoyPids()).toEqual([]);
    if (tookMs >= 1_000) slow.push(`${String(Math.round(tookMs))} ms after ${String(Math.round(instantMs))} ms`);
  }
  expect(slow).toEqual([]);
});
