// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import type { TrustAnchor } from "../../../src/cert/types.ts";
import { untilAborted } from "../../../src/lib/async/tasks.ts";
import type { ResponseCheck, SigningRequest } from "../../../src/model/signing.ts";
import { eventually } from "../../support/eventually.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { signerOf } from "../../support/signing.ts";
import { testAuthority } from "../../support/test-authority.ts";
import { testStore } from "../../support/test-store.ts";

const minuteMs = 60_000;

function setUp(options: { readonly anchors?: readonly TrustAnchor[]; readonly refuse?: boolean } = {}) {
  const clock = new FakeClock();
  const ca = testAuthority("root", clock.now());
  let calls = 0;
  const refusal = Object.assign(new Error("not you"), { failure: "refused", isPermanent: true });
  const signer = {
    refuse: options.refuse ?? false,
    changed: Promise.withResolvers<undefined>(),
    async sign<T>({ csrPem }: SigningRequest, check: ResponseCheck<T>): Promise<T> {
      calls++;
      if (this.refuse) return Promise.reject(refusal);
      await Promise.resolve();
      return check({ chainPem: ca.sign(csrPem, 60 * minuteMs, clock.now()), rootsPem: ca.rootPem });
    },
    async untilChanged(signal: AbortSignal): Promise<void> {
      await Promise.race([this.changed.promise, untilAborted(signal)]);
    },
  };
  const pod = testStore(signer, {
    clock,
    config: { anchors: options.anchors ?? [], refusedExitAfterMs: 10 * minuteMs },
  });
  const pass = async (ms: number): Promise<void> => {
    for (let left = ms; left > 0; left -= 5_000) {
      await clock.advance(5_000);
      await eventually(
        () => {
          expect(pod.outcomes.length).toBe(pod.store.status().attempts);
        },
        { withinMs: 2_000, everyMs: 1 },
      );
    }
  };
  return { clock, ca, signer, pod, pass, calls: () => calls };
}

async function untilOutcome(pod: ReturnType<typeof testStore>, count = 1): Promise<void> {
  await eventually(
    () => {
      expect(pod.outcomes.length).toBeGreaterThanOrEqual(count);
    },
    { withinMs: 2_000 },
  );
}

describe("the mesh's trust anchors", () => {
  const [a, b] = [testAuthority("anchor a", Date.now()), testAuthority("anchor b", Date.now())];

  test("B7, R11: they are handed out at once, without a new certificate, and the same ones only once", async () => {
    const { pod, calls, ca } = setUp();
    await using _pod = pod;
    const [bundles, certificates] = [pod.collect("ROOTCA"), pod.collect("default")];
    await untilOutcome(pod);
    await eventually(
      () => {
        expect(bundles).toHaveLength(1);
      },
      { withinMs: 1_000 },
    );
    await pod.store.setMeshAnchors([a.rootPem]);
    await eventually(
      () => {
        expect(bundles).toHaveLength(2);
      },
      { withinMs: 1_000 },
    );
    await pod.store.setMeshAnchors([a.rootPem.replaceAll("\n", "\r\n"), a.rootPem]);
    await pod.store.setMeshAnchors([]);
    // A peer may hold a certificate under an anchor that is withdrawn.
    expect(bundles).toHaveLength(2);
    expect(bundles.at(-1)).toEqual({ kind: "trust-bundle", rootsPem: [a.rootPem, ca.rootPem].sort().join("") });
    expect(certificates).toHaveLength(1);
    expect(calls()).toBe(1);
  });

  test("B9: they are merged, sorted, without duplicates; what cannot be read is reported", async () => {
    const { pod, ca } = setUp({ anchors: [{ pem: b.rootPem, trustDomains: [] }] });
    await using _pod = pod;
    const bundles = pod.collect("ROOTCA");
    await untilOutcome(pod);
    await pod.store.setMeshAnchors([a.rootPem, a.rootPem, ca.rootPem, "rubbish"]);
    const merged = [a.rootPem, b.rootPem, ca.rootPem].sort().join("");
    await eventually(
      () => {
        expect(bundles.at(-1)).toEqual({ kind: "trust-bundle", rootsPem: merged });
      },
      { withinMs: 1_000 },
    );
    expect(pod.records.find((record) => record.message === "mesh trust anchors updated")?.fields).toEqual({
      given: 4,
      readable: 3,
    });
  });
});

describe("a CA that rejects every request", () => {
  test("ends the agent after the set time, when there is no certificate", async () => {
    const { pod, pass } = setUp({ refuse: true });
    await using _pod = pod;
    await untilOutcome(pod);
    await pass(9 * minuteMs);
    expect(pod.failures).toEqual([]);
    await pass(3 * minuteMs);
    expect(pod.failures[0]).toMatchObject({ code: "AGENT_CA_REFUSED" });
  });

  test("does not end it while there is a valid one", async () => {
    const { pod, pass, signer } = setUp();
    await using _pod = pod;
    await untilOutcome(pod);
    signer.refuse = true;
    await pass(58 * minuteMs);
    expect(pod.store.status().failuresInARow).toBeGreaterThan(3);
    expect(pod.failures).toEqual([]);
  });
});

test("a change of what made an attempt fail, such as a token's file, ends the wait for the next", async () => {
  const { pod, signer, clock, calls } = setUp({ refuse: true });
  await using _pod = pod;
  await untilOutcome(pod);
  await clock.advance(0);
  signer.refuse = false;
  signer.changed.resolve(undefined);
  await eventually(
    async () => {
      await clock.advance(50);
      expect(calls()).toBe(2);
    },
    { withinMs: 2_000, everyMs: 5 },
  );
  expect(clock.monotonicMs()).toBeLessThan(1_400);
});

test("a remaining lifetime is reported once for each threshold, only when the renewal is overdue", async () => {
  const { pod, pass, signer } = setUp();
  await using _pod = pod;
  await untilOutcome(pod);
  await pass(29 * minuteMs);
  const reports = (): readonly unknown[] =>
    pod.records
      .filter((record) => record.message.startsWith("certificate is about to expire"))
      .map((record) => [record.level, record.fields["percentLeft"]]);
  expect(reports()).toEqual([]);
  signer.refuse = true;
  await pass(30 * minuteMs);
  expect(reports()).toEqual([
    ["warn", 50],
    ["error", 25],
    ["error", 10],
  ]);
  expect(pod.store.status().remainingLifetimePercent).toBe(10);
});

test("R28: without a namespace or an account nothing is requested, and readiness says what to set", async () => {
  const asked: unknown[] = [];
  const signer = signerOf((request) => Promise.reject(new Error(`asked ${String(asked.push(request))}`)));
  const identity = { trustDomain: "cluster.local", namespace: "demo", serviceAccount: "" };
  await using pod = testStore(signer, { clock: new FakeClock(), config: { identity } });
  await untilOutcome(pod);
  expect(pod.outcomes).toEqual(["misconfigured"]);
  expect(pod.pending()).toContain("set POD_NAMESPACE, SERVICE_ACCOUNT and TRUST_DOMAIN");
  expect(asked).toEqual([]);
});
