// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import type { IdentityProvider } from "../../../src/cert/index.ts";
import { renderPrivateKey } from "../../../src/cert/csr.ts";
import { untilAborted } from "../../../src/lib/async/tasks.ts";
import { eventually } from "../../support/eventually.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { signerOf } from "../../support/signing.ts";
import { newKey, publicKeyOf, testAuthority } from "../../support/test-authority.ts";
import { testStore, type TestStore } from "../../support/test-store.ts";

const minuteMs = 60_000;
const alarmText = "certificate is about to expire and was not renewed";

/** A CA that back-dates by two minutes, whose calls take some time and may fail. */
function setUp({ lifetimeMs, callMs = 0 }: { readonly lifetimeMs: number; readonly callMs?: number }) {
  const clock = new FakeClock();
  const ca = testAuthority("root", clock.now());
  const state = { failures: 0 };
  const signer = signerOf(async ({ csrPem }) => {
    if (callMs > 0) await clock.delay(callMs);
    if (state.failures-- > 0) throw new Error("busy");
    return { chainPem: ca.sign(csrPem, lifetimeMs, clock.now()), rootsPem: ca.rootPem };
  });
  const pod = testStore(signer, { clock });
  const pass = async (ms: number, stepMs = 250): Promise<void> => {
    for (let left = ms; left > 0; left -= stepMs) {
      await clock.advance(stepMs);
      await eventually(
        () => {
          if (callMs === 0) expect(pod.outcomes.length).toBe(pod.store.status().attempts);
        },
        { withinMs: 2_000, everyMs: 1 },
      );
    }
  };
  return { pod, pass, state };
}

const alarms = (pod: TestStore): readonly unknown[] =>
  pod.records.filter(({ message }) => message === alarmText).map(({ level, fields }) => [level, fields["percentLeft"]]);

async function untilIssued(pod: TestStore, pass: (ms: number) => Promise<void>): Promise<void> {
  await eventually(
    async () => {
      await pass(250);
      expect(pod.store.status().state).toBe("valid");
    },
    { withinMs: 5_000, everyMs: 1 },
  );
}

describe("A7: a certificate that is running out", () => {
  test.each([
    [4_000, 0],
    [20_000, 0],
    [20_000, 3_000],
    [60 * minuteMs, 0],
  ])(
    "A7: is not reported while it is renewed in time: lifetime %i ms, back-dated, calls of %i ms",
    async (lifetimeMs, callMs) => {
      const { pod, pass } = setUp({ lifetimeMs, callMs });
      await using _ = pod;
      await untilIssued(pod, pass);
      await eventually(
        async () => {
          await pass(lifetimeMs / 8, lifetimeMs / 80);
          expect(pod.store.status().issued).toBeGreaterThanOrEqual(3);
        },
        { withinMs: 8_000, everyMs: 1 },
      );
      expect(alarms(pod)).toEqual([]);
    },
  );

  test("A7: is not reported because of a failure that the next attempt cures", async () => {
    const { pod, pass, state } = setUp({ lifetimeMs: 10 * minuteMs });
    await using _ = pod;
    await untilIssued(pod, pass);
    state.failures = 2;
    await pass(7 * minuteMs, 500);
    expect(pod.outcomes.filter((outcome) => outcome !== "ok").length).toBe(2);
    expect(pod.store.status().issued).toBe(2);
    expect(alarms(pod)).toEqual([]);
  });

  test("A7: is reported at each threshold while every attempt fails", async () => {
    const { pod, pass, state } = setUp({ lifetimeMs: 10 * minuteMs });
    await using _ = pod;
    await untilIssued(pod, pass);
    state.failures = Number.POSITIVE_INFINITY;
    await pass(10 * minuteMs, 1_000);
    expect(alarms(pod)).toEqual([
      ["warn", 50],
      ["error", 25],
      ["error", 10],
    ]);
  });

  test("A7: from files is not reported at the start, nor before a quarter of what was left then", async () => {
    const clock = new FakeClock();
    const ca = testAuthority("root", clock.now());
    const key = newKey();
    const issued = { publicKey: publicKeyOf(key), notAfterMs: clock.now() + 10 * minuteMs };
    const chainPem = ca.issue({ ...issued, notBeforeMs: clock.now() - 90 * minuteMs }, clock.now());
    const identity = { chainPem, keyPem: renderPrivateKey(key, true), rootsPem: ca.rootPem };
    const provider: IdentityProvider = {
      name: "files",
      async *watch(signal) {
        yield { kind: "identity", identity };
        await untilAborted(signal);
      },
    };
    await using pod = testStore(provider, { clock });
    const pass = (ms: number): Promise<void> => clock.advance(ms);
    await untilIssued(pod, pass);
    for (let second = 0; second < 7 * 60; second++) await pass(1_000);
    expect(alarms(pod)).toEqual([]);
    for (let second = 0; second < 90; second++) await pass(1_000);
    expect(alarms(pod)).toEqual([["error", 25]]);
  });
});
