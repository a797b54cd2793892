// SPDX-License-Identifier: Apache-2.0
import { X509Certificate } from "node:crypto";
import { describe, expect, test } from "vitest";
import type { CertificateSigner } from "../../../src/cert/index.ts";
import type { ResponseCheck, SigningRequest } from "../../../src/model/signing.ts";
import { eventually } from "../../support/eventually.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { testAuthority } from "../../support/test-authority.ts";
import { testStore } from "../../support/test-store.ts";

const minuteMs = 60_000;

/** A signer in memory, on the test's clock. */
class TestSigner implements CertificateSigner {
  readonly #clock: FakeClock;
  ca: ReturnType<typeof testAuthority>;
  error: Error | undefined;
  lifetimeMs = 60 * minuteMs;
  /** Of certificates issued from now on, relative to now. */
  beginsInMs = -2 * minuteMs;
  roots: string | undefined;
  readonly callsMs: number[] = [];
  /** The requests, in order. */
  readonly csrPems: string[] = [];

  constructor(clock: FakeClock) {
    this.#clock = clock;
    this.ca = testAuthority("root A", clock.now());
  }

  async sign<T>({ csrPem }: SigningRequest, check: ResponseCheck<T>): Promise<T> {
    const nowMs = this.#clock.now();
    this.callsMs.push(this.#clock.monotonicMs());
    this.csrPems.push(csrPem);
    await Promise.resolve();
    if (this.error !== undefined) throw this.error;
    const chainPem = this.ca.sign(csrPem, this.lifetimeMs, nowMs + this.beginsInMs + 2 * minuteMs);
    return check({ chainPem, rootsPem: this.roots ?? this.ca.rootPem });
  }
}

function setUp(config: Parameters<typeof testStore>[1] = {}) {
  const clock = new FakeClock();
  const signer = new TestSigner(clock);
  const pod = testStore(signer, { clock, ...config });
  /** Lets time pass in steps, with time for key generation in between. */
  const pass = async (ms: number, stepMs = 1_000): Promise<void> => {
    for (let left = ms; left > 0; left -= stepMs) {
      await clock.advance(Math.min(stepMs, left));
      const { attempts } = pod.store.status();
      await eventually(
        () => {
          expect(pod.outcomes.length).toBe(pod.store.status().attempts);
        },
        { withinMs: 2_000, everyMs: 1 },
      );
      if (attempts !== pod.store.status().attempts) await clock.advance(0);
    }
  };
  return { clock, signer, pod, pass };
}

async function untilOutcomes(pod: ReturnType<typeof testStore>, count: number): Promise<void> {
  await eventually(
    () => {
      expect(pod.outcomes.length).toBeGreaterThanOrEqual(count);
    },
    { withinMs: 2_000, everyMs: 1 },
  );
}

describe("the certificate store", () => {
  test("gets a certificate at once, hands out the roots too, and releases readiness", async () => {
    const { pod, signer } = setUp();
    await using _ = pod;
    const [certificates, bundles] = [pod.collect("default"), pod.collect("ROOTCA")];
    await eventually(
      () => {
        expect(certificates.length + bundles.length).toBe(2);
      },
      { withinMs: 2_000 },
    );
    expect(bundles[0]).toEqual({ kind: "trust-bundle", rootsPem: signer.ca.rootPem });
    expect(pod.pending()).toBeUndefined();
    expect(pod.store.status()).toMatchObject({ state: "valid", attempts: 1, failuresInARow: 0, lastError: undefined });
  });

  test("B3: any number of watchers cause one request and see the same bytes", async () => {
    const { pod, signer, pass } = setUp();
    await using _ = pod;
    const watchers = Array.from({ length: 20 }, () => pod.collect("default"));
    await untilOutcomes(pod, 1);
    await pass(2_000);
    expect(signer.callsMs).toHaveLength(1);
    expect(new Set(watchers.map((seen) => JSON.stringify(seen))).size).toBe(1);
  });

  test("B6: it renews by itself, without a watcher, and the same roots are not handed out twice", async () => {
    const { pod, signer, pass } = setUp();
    await using _ = pod;
    const bundles = pod.collect("ROOTCA");
    await untilOutcomes(pod, 1);
    const first = pod.store.status().serial;
    await pass(31 * minuteMs, minuteMs);
    expect(signer.callsMs).toHaveLength(2);
    expect(pod.store.status().serial).not.toBe(first);
    expect(bundles).toHaveLength(1);
  });

  test("a renewal that fails while the certificate is valid is shown until one succeeds, and readiness does not wait", async () => {
    const { pod, signer, pass } = setUp();
    await using _ = pod;
    await untilOutcomes(pod, 1);
    expect(pod.renewalNote()).toBeUndefined();
    signer.error = new Error("connect: ECONNREFUSED");
    await pass(31 * minuteMs, minuteMs);
    expect(pod.renewalNote()).toMatch(/^the certificate is not renewed: connect: ECONNREFUSED; .* expires at \S+Z$/);
    expect(pod.pending()).toBeUndefined();
    const { failingSinceMs, lastFailure } = pod.store.status();
    expect(lastFailure).toMatchObject({ reason: "connect: ECONNREFUSED" });
    expect(failingSinceMs).toBeLessThanOrEqual(lastFailure?.atMs ?? 0);
    signer.error = undefined;
    await pass(2 * minuteMs);
    expect(pod.renewalNote()).toBeUndefined();
    expect(pod.store.status()).toMatchObject({ failingSinceMs: undefined, lastFailure });
  });

  test("issuer and roots are told as people read them", async () => {
    const { pod, signer } = setUp();
    await using _ = pod;
    expect(pod.store.inspect()).toEqual({ issuer: undefined, roots: [] });
    await untilOutcomes(pod, 1);
    const root = new X509Certificate(signer.ca.rootPem);
    const sha256 = root.fingerprint256.replaceAll(":", "").toLowerCase();
    const [notAfterMs, trustDomain] = [Date.parse(root.validTo), undefined];
    expect(pod.store.inspect()).toEqual({
      issuer: "O=root A",
      roots: [{ subject: "O=root A", sha256, notAfterMs, trustDomain }],
    });
  });

  test("every certificate has a key of its own; a CA that is down costs no keys, a rejected response costs one", async () => {
    const { pod, signer, pass } = setUp();
    await using _ = pod;
    await untilOutcomes(pod, 1);
    signer.error = new Error("the CA is down");
    await pass(35 * minuteMs, 10_000);
    const [first, second, ...repeated] = signer.csrPems.splice(0);
    expect(second).not.toBe(first);
    expect(repeated.length).toBeGreaterThan(0);
    expect(new Set(repeated)).toEqual(new Set([second]));
    signer.error = undefined;
    signer.roots = testAuthority("another", Date.now()).rootPem;
    await pass(3 * minuteMs, 10_000);
    expect(pod.outcomes.at(-1)).toBe("untrusted");
    const [refused, ...others] = signer.csrPems;
    expect(refused).toBe(second);
    expect(others.length).toBeGreaterThan(0);
    expect(new Set(signer.csrPems).size).toBe(signer.csrPems.length);
  });

  test("keeps serving the certificate in use while the CA is down, and renews when it is back", async () => {
    const { pod, signer, pass } = setUp();
    await using _ = pod;
    const certificates = pod.collect("default");
    await untilOutcomes(pod, 1);
    signer.error = new Error("the CA is down");
    await pass(55 * minuteMs, 10_000);
    expect(pod.store.status()).toMatchObject({ state: "valid", lastError: "the CA is down" });
    expect(pod.pending()).toBeUndefined();
    expect(certificates).toHaveLength(1);
    signer.error = undefined;
    await pass(minuteMs + 1_000, 10_000);
    expect(certificates).toHaveLength(2);
    expect(pod.store.status()).toMatchObject({ state: "valid", failuresInARow: 0, lastError: undefined });
  });

  test("C21: a CA that is down is a line when it begins and one a minute, however often it is asked", async () => {
    const { pod, signer, pass } = setUp();
    await using _ = pod;
    signer.error = new Error("the CA is down");
    await pass(3 * minuteMs, 1_000);
    const lines = pod.records.filter(({ message }) => message === "no certificate from the CA; retrying");
    expect(pod.store.status().failuresInARow).toBeGreaterThan(10);
    expect(lines.map(({ fields }) => fields["failures"] === undefined)).toEqual([true, false, false]);
  });

  test("holds readiness with the last error from expiry until there is a valid certificate again", async () => {
    const { pod, signer, pass } = setUp();
    await using _ = pod;
    await untilOutcomes(pod, 1);
    signer.error = new Error("the CA is down");
    await pass(61 * minuteMs, 10_000);
    expect(pod.store.status().state).toBe("expired");
    expect(pod.pending()).toMatch(/the certificate expired at .* and was not renewed: the CA is down/);
    signer.error = undefined;
    await pass(minuteMs, 5_000);
    expect(pod.pending()).toBeUndefined();
  });

  test("C10: without a certificate it retries within 2 s, and has one when the CA recovers", async () => {
    const { pod, signer, pass } = setUp({ random: () => 0.999 });
    await using _ = pod;
    signer.error = new Error("not now");
    await untilOutcomes(pod, 1);
    await pass(5_000, 100);
    expect(signer.callsMs.length).toBeGreaterThanOrEqual(3);
    expect(pod.pending()).toBe("no certificate yet: not now");
    signer.error = undefined;
    await pass(2_000, 100);
    expect(pod.store.status().state).toBe("valid");
  });

  test.each([0, 0.5, 0.999])("makes at most one attempt a second and ten a minute (random %d)", async (random) => {
    const { pod, signer, pass } = setUp({
      random: () => random,
      config: { rotation: { gracePeriodRatio: 1, gracePeriodRatioJitter: 0, leastSpread: 0, floorMs: 0 } },
    });
    await using _ = pod;
    signer.lifetimeMs = 300;
    await untilOutcomes(pod, 1);
    await pass(10 * minuteMs, 500);
    const gaps = signer.callsMs.slice(1).map((at, i) => at - (signer.callsMs[i] ?? 0));
    expect(Math.min(...gaps)).toBeGreaterThanOrEqual(1_000);
    const tenths = signer.callsMs.slice(10).map((at, i) => at - (signer.callsMs[i] ?? 0));
    expect(Math.min(...tenths)).toBeGreaterThanOrEqual(minuteMs);
  });

  test("waits at least as long as the CA requests", async () => {
    const { pod, signer, pass } = setUp({ random: () => 0 });
    await using _ = pod;
    signer.error = Object.assign(new Error("busy"), { retryAfterMs: 30_000, failure: "refused" });
    await untilOutcomes(pod, 1);
    await pass(29_000);
    expect(signer.callsMs).toHaveLength(1);
    await pass(2_000);
    expect(signer.callsMs).toHaveLength(2);
    expect(pod.outcomes).toEqual(["refused", "refused"]);
  });

  test("a certificate that begins later is held until then, and the skew is in the status", async () => {
    const { pod, signer, pass } = setUp();
    await using _ = pod;
    signer.beginsInMs = 10_000;
    const certificates = pod.collect("default");
    await untilOutcomes(pod, 1);
    await pass(9_000);
    expect(certificates).toHaveLength(0);
    expect(pod.pending()).toContain("the certificate begins at");
    expect(Math.abs(pod.store.status().clockSkewMs - 10_000)).toBeLessThanOrEqual(1_000);
    await pass(2_000);
    expect(certificates).toHaveLength(1);
    expect(pod.pending()).toBeUndefined();
  });

  test("after the wall clock jumped by a day it renews within a second or two", async () => {
    const { pod, signer, clock, pass } = setUp();
    await using _ = pod;
    await untilOutcomes(pod, 1);
    await pass(10_000);
    clock.jump(24 * 60 * minuteMs);
    await pass(2_000, 500);
    expect(signer.callsMs).toHaveLength(2);
    expect(pod.store.status().state).toBe("valid");
  });

  test("a certificate that is not valid yet, because the clock was set back, is renewed within a second or two", async () => {
    const { pod, signer, clock, pass } = setUp();
    await using _ = pod;
    await untilOutcomes(pod, 1);
    await pass(10_000);
    clock.jump(-2 * 24 * 60 * minuteMs);
    signer.ca = testAuthority("root A", clock.now());
    await pass(2_000, 500);
    expect(signer.callsMs).toHaveLength(2);
    expect(pod.store.status().state).toBe("valid");
    expect(pod.pending()).toBeUndefined();
    await pass(20 * minuteMs, minuteMs);
    expect(signer.callsMs).toHaveLength(2);
  });

  test("certificates of a CA whose clock is minutes ahead are requested again, slower and slower, until one is valid", async () => {
    const { pod, signer, pass } = setUp();
    await using _ = pod;
    signer.beginsInMs = 3 * minuteMs;
    await pass(minuteMs);
    expect(signer.callsMs.length).toBeGreaterThan(5);
    expect(signer.callsMs.length).toBeLessThanOrEqual(11);
    await pass(2 * minuteMs + 1_000);
    expect(pod.store.status().state).toBe("valid");
    const calls = signer.callsMs.length;
    await pass(20 * minuteMs, 10_000);
    expect(signer.callsMs.length).toBe(calls);
    expect(pod.store.status().state).toBe("valid");
  });

  test("a valid certificate that lasts until the newest begins is enough", async () => {
    const { pod, signer, pass } = setUp();
    await using _ = pod;
    await untilOutcomes(pod, 1);
    signer.beginsInMs = 5 * minuteMs;
    await pass(31 * minuteMs, 10_000);
    expect(signer.callsMs).toHaveLength(2);
    await pass(10 * minuteMs, 10_000);
    expect(signer.callsMs).toHaveLength(2);
  });

  test("new roots are trusted before the new certificate is handed out, the old stay until its leaves expire", async () => {
    const { pod, signer, clock, pass } = setUp();
    await using _ = pod;
    const order: string[] = [];
    const certificates = pod.collect("default", order);
    const bundles = pod.collect("ROOTCA", order);
    await untilOutcomes(pod, 1);
    const rootA = signer.ca.rootPem;
    signer.ca = testAuthority("root B", clock.now());
    await clock.advance(30 * minuteMs);
    await eventually(
      () => {
        expect(bundles).toHaveLength(2);
      },
      { withinMs: 2_000 },
    );
    expect(certificates).toHaveLength(2);
    expect(order).toEqual(["ROOTCA", "default", "ROOTCA", "default"]);
    expect(bundles[1]).toEqual({ kind: "trust-bundle", rootsPem: [rootA, signer.ca.rootPem].sort().join("") });
    await pass(65 * minuteMs, minuteMs);
    expect(bundles.at(-1)).toEqual({ kind: "trust-bundle", rootsPem: signer.ca.rootPem });
    const leaf = certificates.at(-1);
    if (leaf?.kind !== "certificate") throw new Error("no certificate");
    expect(new X509Certificate(leaf.chainPem).verify(new X509Certificate(signer.ca.rootPem).publicKey)).toBe(true);
  });

  test("when the newer certificate expires first, the older one serves again", async () => {
    const { pod, signer, pass } = setUp({
      config: { rotation: { gracePeriodRatio: 0.9, gracePeriodRatioJitter: 0, leastSpread: 0, floorMs: 1_000 } },
    });
    await using _ = pod;
    const certificates = pod.collect("default");
    await untilOutcomes(pod, 1);
    signer.lifetimeMs = 2 * minuteMs;
    await pass(7 * minuteMs, 10_000);
    signer.error = new Error("down");
    await pass(3 * minuteMs, 10_000);
    expect(certificates.at(-1)).toEqual(certificates[0]);
    expect(pod.store.status().state).toBe("valid");
  });

  test("disposing ends its loops, and a second time is harmless", async () => {
    const { pod, clock } = setUp();
    await untilOutcomes(pod, 1);
    await pod.store[Symbol.asyncDispose]();
    await pod[Symbol.asyncDispose]();
    expect(clock.pendingDelaysMs).toEqual([]);
    expect(pod.failures).toEqual([]);
  });
});
