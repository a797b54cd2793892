// SPDX-License-Identifier: Apache-2.0
import { status } from "@grpc/grpc-js";
import { describe, expect, test } from "vitest";
import { type FakeCaMode, startFakeCa } from "../fakes/fake-ca.ts";
import { eventually } from "../support/eventually.ts";
import { type Pod, startPod, untilRotated } from "../support/pod.ts";
import { startStopwatch } from "../support/stopwatch.ts";

/** Each misbehaviour, and what readiness says about it. */
const misbehaviours: readonly { readonly title: string; readonly mode: FakeCaMode; readonly said: RegExp }[] = [
  { title: "hangs", mode: { kind: "hang" }, said: /^identity: /m },
  {
    title: "refuses",
    mode: { kind: "refuse", status: status.PERMISSION_DENIED },
    said: /^identity: .*(refused|PERMISSION_DENIED)/m,
  },
  { title: "signs another key", mode: { kind: "wrong-key" }, said: /^identity: .*key/m },
  { title: "signs another SPIFFE ID", mode: { kind: "wrong-identity" }, said: /^identity: .*ns\/other\/sa\/other/m },
  { title: "gives an expired leaf", mode: { kind: "expired" }, said: /^identity: .*(expired|notAfter|valid)/m },
  { title: "answers garbage", mode: { kind: "garbage" }, said: /^identity: /m },
  { title: "answers PEM that is none", mode: { kind: "garbage-pem" }, said: /^identity: /m },
  { title: "signs by a root that it does not hand out", mode: { kind: "other-root" }, said: /^identity: /m },
];

async function untilIdentityHeld(pod: Pod, said: RegExp): Promise<void> {
  await eventually(
    async () => {
      const { status, body } = await pod.readiness();
      expect(status).toBe(503);
      expect(body).toMatch(said);
    },
    { withinMs: 8_000 },
  );
}

/** Envoy answers, and has no certificate. */
async function untilEnvoyHasNone(pod: Pod): Promise<void> {
  await eventually(async () => expect(await pod.serials()).toEqual([]), { withinMs: 5_000 });
}

describe("7.1.16: beside a CA that misbehaves, Envoy never gets a certificate, readiness says why, and both recover", () => {
  test.each(misbehaviours)("$title", async ({ mode, said }) => {
    await using ca = await startFakeCa();
    ca.set(mode);
    await using pod = await startPod({ ca });
    await eventually(
      () => {
        expect(ca.calls.length).toBeGreaterThanOrEqual(1);
      },
      { withinMs: 10_000 },
    );
    await untilIdentityHeld(pod, said);
    await untilEnvoyHasNone(pod);

    ca.recover();
    using watch = startStopwatch(() => [pod.pid, ...pod.envoyPids()]);
    await eventually(
      async () => {
        expect(await pod.serials()).toHaveLength(1);
      },
      { withinMs: 5_000 },
    );
    expect(watch.ms()).toBeLessThan(2_500);
    await pod.untilReady();
  });
});

test("a CA that cannot be reached is named by readiness", async () => {
  const gone = await startFakeCa();
  await gone[Symbol.asyncDispose]();
  await using pod = await startPod({ ca: gone });
  await untilIdentityHeld(pod, new RegExp(`^identity: .*localhost:${String(gone.port)}`, "m"));
  await untilEnvoyHasNone(pod);
});

test("a rotation is seen by Envoy on the open stream, and none of its updates is rejected", async () => {
  await using ca = await startFakeCa({ lifetimeMs: 60_000 });
  const env = { SECRET_GRACE_PERIOD_RATIO: "0.96", SECRET_GRACE_PERIOD_RATIO_JITTER: "0" };
  await using pod = await startPod({ ca, env });
  await pod.untilReady();
  const first = await pod.serials();
  await untilRotated(pod, first);
  expect(pod.log()).not.toMatch(/rejected|NACK/i);
});
