// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { systemClock } from "../../src/lib/async/clock.ts";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { eventually } from "../support/eventually.ts";
import { startPod } from "../support/pod.ts";
import { startStopwatch } from "../support/stopwatch.ts";

const lifetimeMs = 4_000;

test("B8: stopped for two lives of its certificate and let go on, the agent has a fresh one in Envoy within 2 s, and says so meanwhile", async () => {
  await using ca = await startFakeCa({ lifetimeMs, backdateMs: 0 });
  await using pod = await startPod({ ca });
  await pod.untilReady();
  const before = await pod.serials();
  pod.kill("SIGSTOP");
  await systemClock.delay(2 * lifetimeMs);
  ca.set({ kind: "refuse", status: "UNAVAILABLE" });
  const callsBefore = ca.calls.length;
  pod.kill("SIGCONT");
  await eventually(
    async () => {
      const { status, body } = await pod.readiness();
      expect(status).toBe(503);
      expect(body).toContain("identity: the certificate expired at");
      // a try has met the outage, so that the next one has to wait its turn
      expect(ca.calls.length).toBeGreaterThan(callsBefore);
    },
    { withinMs: 4_000 },
  );
  ca.lifetimeMs = 600_000;
  ca.recover();
  using watch = startStopwatch(() => [pod.pid, ...pod.envoyPids()]);
  await eventually(
    async () => {
      const now = await pod.serials();
      expect(now).toHaveLength(1);
      expect(before).not.toContain(now[0]);
      expect((await pod.readiness()).status).toBe(200);
    },
    { withinMs: 5_000 },
  );
  expect(watch.ms()).toBeLessThan(2_000);
});
