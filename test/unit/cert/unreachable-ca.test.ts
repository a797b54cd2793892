// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { untilAborted } from "../../../src/lib/async/tasks.ts";
import { eventually } from "../../support/eventually.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { signerOf } from "../../support/signing.ts";
import { testAuthority } from "../../support/test-authority.ts";
import { testStore } from "../../support/test-store.ts";

const minuteMs = 60_000;

/** A CA that cannot be connected to until it is back; one that flaps only seems to be, each time. */
function setUp({ flaps = false, lifetimeMs = 60 * minuteMs, isUnconnected = true } = {}) {
  const clock = new FakeClock();
  const ca = testAuthority("root", clock.now());
  const callsMs: number[] = [];
  let back = Promise.withResolvers<undefined>();
  let isDown = true;
  let watches = 0;
  const signer = signerOf(
    ({ csrPem }) => {
      callsMs.push(clock.monotonicMs());
      if (isDown) return Promise.reject(Object.assign(new Error("connection refused"), { isUnconnected }));
      return Promise.resolve({ chainPem: ca.sign(csrPem, lifetimeMs, clock.now()), rootsPem: ca.rootPem });
    },
    {
      async untilReachable(signal) {
        watches++;
        if (flaps) return;
        await Promise.race([back.promise, untilAborted(signal)]);
      },
    },
  );
  const pod = testStore(signer, { clock });
  const pass = async (ms: number, stepMs = 500): Promise<void> => {
    for (let left = ms; left > 0; left -= stepMs) {
      await clock.advance(Math.min(stepMs, left));
      await eventually(
        () => {
          expect(pod.outcomes.length).toBe(pod.store.status().attempts);
        },
        { withinMs: 2_000, everyMs: 1 },
      );
    }
  };
  const switchCa = (down: boolean): void => {
    isDown = down;
    if (down) back = Promise.withResolvers();
    else back.resolve(undefined);
  };
  return { clock, pod, pass, callsMs, switchCa, watches: () => watches };
}

const mostInWindow = (callsMs: readonly number[]): number =>
  Math.max(...callsMs.map((start) => callsMs.filter((one) => one >= start && one < start + minuteMs).length));

test.each([3, 30, 50, 300, 1_000])(
  "a CA that was unreachable for %i s gets an attempt as soon as it is reachable, and at most ten a minute",
  async (seconds) => {
    const { clock, pod, pass, callsMs, switchCa } = setUp();
    await using _ = pod;
    await pass(seconds * 1_000);
    const backMs = clock.monotonicMs();
    switchCa(false);
    await pass(2_000, 100);
    expect(pod.outcomes.at(-1)).toBe("ok");
    expect((callsMs.at(-1) ?? 0) - backMs).toBeLessThan(1_200);
    expect(mostInWindow(callsMs)).toBeLessThanOrEqual(10);
  },
);

test("connections are not probed with a valid certificate, so that a fleet does not return at once", async () => {
  const { pod, pass, callsMs, switchCa, watches } = setUp();
  await using _ = pod;
  switchCa(false);
  await pass(2_000);
  const before = [callsMs.length, watches()];
  switchCa(true);
  await pass(50 * minuteMs, 10_000);
  expect(callsMs.length).toBeGreaterThan(before[0] ?? 0);
  expect(watches()).toBe(before[1]);
});

test.each([3, 15, 25, 40, 60, 300])(
  "a CA that responded with errors for %i s, as a sealed Vault does, gets an attempt within 15 s, and at most ten a minute",
  async (seconds) => {
    const { pod, pass, callsMs, switchCa } = setUp({ isUnconnected: false });
    await using _ = pod;
    await pass(seconds * 1_000);
    switchCa(false);
    await pass(seconds < 100 ? 15_500 : 8_500);
    expect(pod.outcomes.at(-1)).toBe("ok");
    expect(mostInWindow(callsMs)).toBeLessThanOrEqual(10);
  },
);

test.each([90_000, 60 * minuteMs])(
  "a CA that is back while a certificate of %i ms is still valid gets an attempt before it expires",
  async (lifetimeMs) => {
    const urgentMs = Math.min(minuteMs, lifetimeMs / 4);
    for (const beforeExpiryMs of [urgentMs, urgentMs / 2, 3_000]) {
      const { clock, pod, pass, callsMs, switchCa } = setUp({ lifetimeMs });
      await using _ = pod;
      switchCa(false);
      await pass(2_000);
      const expiryMs = pod.store.status().notAfterMs ?? 0;
      switchCa(true);
      const outageMs = expiryMs - clock.now() - beforeExpiryMs;
      await pass(outageMs, outageMs > 20 * minuteMs ? 4_000 : 500);
      const backMs = clock.monotonicMs();
      expect(pod.store.status().state).toBe("valid");
      switchCa(false);
      await pass(2_500, 100);
      expect(pod.outcomes.at(-1)).toBe("ok");
      expect((callsMs.at(-1) ?? 0) - backMs).toBeLessThan(2_500);
      expect(mostInWindow(callsMs)).toBeLessThanOrEqual(10);
    }
  },
);

test("a CA that is reachable only briefly gets at most ten attempts a minute", async () => {
  const { pod, pass, callsMs } = setUp({ flaps: true });
  await using _ = pod;
  await pass(5 * minuteMs);
  expect(callsMs.length).toBeGreaterThan(30);
  expect(mostInWindow(callsMs)).toBeLessThanOrEqual(10);
});
