// SPDX-License-Identifier: Apache-2.0
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { createCaClient } from "../../../src/ca/index.ts";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { type FakeCa, type FakeCaMode, type FakeCaOptions, startFakeCa } from "../../fakes/fake-ca.ts";
import { eventually } from "../../support/eventually.ts";
import { startStopwatch } from "../../support/stopwatch.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { testLog } from "../../support/test-log.ts";
import { type TestStore, testStore } from "../../support/test-store.ts";
import { testBudgets } from "../../support/budgets.ts";

interface Pod extends AsyncDisposable {
  readonly ca: FakeCa;
  readonly store: TestStore;
}

async function startPod(mode: FakeCaMode, options: FakeCaOptions = {}, timeoutPerTryMs = 500): Promise<Pod> {
  const directory = await temporaryDirectory();
  const ca = await startFakeCa(options);
  ca.set(mode);
  const path = join(directory.path, "root.pem");
  await writeFile(path, ca.serverRootPem);
  const client = createCaClient(
    {
      kind: "istio",
      host: ca.host,
      port: ca.port,
      security: {
        kind: "tls",
        serverName: "localhost",
        roots: { kind: "file", path },
        client: undefined,
        policy: "default",
      },
      tokenPath: undefined,
      cloudToken: undefined,
      clusterId: "Kubernetes",
      certSigner: "",
      headers: {},
      timeoutPerTryMs,
      keepalive: { intervalMs: 30_000, timeoutMs: 10_000 },
    },
    { log: testLog().log, clock: systemClock, budgets: testBudgets() },
  );
  const store = testStore(client);
  return {
    ca,
    store,
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]();
      await ca[Symbol.asyncDispose]();
      await directory[Symbol.asyncDispose]();
    },
  };
}

describe.concurrent("beside a CA that misbehaves", () => {
  test.each<{ readonly mode: FakeCaMode; readonly why: RegExp }>([
    {
      mode: { kind: "refuse", status: "PERMISSION_DENIED" },
      why: /rejected the request with PERMISSION_DENIED: refused on demand/,
    },
    { mode: { kind: "refuse", status: "UNAVAILABLE" }, why: /refused on demand/ },
    { mode: { kind: "hang" }, why: /no response within 500 ms/ },
    { mode: { kind: "garbage" }, why: /not an IstioCertificateResponse/ },
    { mode: { kind: "garbage-pem" }, why: /it has no certificate/ },
    { mode: { kind: "empty-chain" }, why: /invalid empty CertChain/ },
    { mode: { kind: "wrong-key" }, why: /for another key/ },
    { mode: { kind: "wrong-identity" }, why: /names spiffe:\/\/cluster.local\/ns\/other\/sa\/other/ },
    { mode: { kind: "expired" }, why: /expired .* ago: .* ahead/ },
    { mode: { kind: "not-yet-valid", byMs: 3_600_000 }, why: /begins in .* behind the CA/ },
    { mode: { kind: "other-root" }, why: /does not lead to any of the given roots/ },
    { mode: { kind: "leaf-as-root" }, why: /does not lead to any of the given roots/ },
  ])(
    "C10: $mode.kind: nothing reaches Envoy, readiness says why, and within 2 s of its recovery all is well",
    async ({ mode, why }) => {
      await using pod = await startPod(mode);
      const secrets = [pod.store.collect("default"), pod.store.collect("ROOTCA")];
      await eventually(
        () => {
          expect(pod.store.pending()).toMatch(why);
        },
        { withinMs: 10_000 },
      );
      expect(secrets).toEqual([[], []]);
      pod.ca.recover();
      using watch = startStopwatch(() => []);
      await eventually(
        () => {
          expect(pod.store.store.status().state).toBe("valid");
        },
        { withinMs: 10_000 },
      );
      expect(watch.ms()).toBeLessThan(2_600);
      expect(pod.store.pending()).toBeUndefined();
      await eventually(
        () => {
          expect(secrets.map((list) => list.length)).toEqual([1, 1]);
        },
        { withinMs: 2_000 },
      );
    },
  );
});

describe("the whole way with short certificates", () => {
  test("B6, B10: it rotates by itself, and what it serves is always valid", async () => {
    await using pod = await startPod({ kind: "good" }, { lifetimeMs: 2_400, intermediate: true });
    const certificates = pod.store.collect("default");
    await eventually(
      () => {
        expect(certificates.length).toBeGreaterThanOrEqual(3);
      },
      { withinMs: 10_000 },
    );
    const status = pod.store.store.status();
    expect(status.state).toBe("valid");
    expect((status.notAfterMs ?? Number.NaN) - Date.now()).toBeLessThan(2_400);
    expect(pod.store.collect("ROOTCA")).toHaveLength(0);
  });

  test("a slow CA is only slow", async () => {
    await using pod = await startPod({ kind: "slow", byMs: 300 });
    await eventually(
      () => {
        expect(pod.store.store.status().state).toBe("valid");
      },
      { withinMs: 2_000 },
    );
    expect(pod.ca.calls).toHaveLength(1);
  });

  test("a CA that recovers from a hang without a response gets a new request within 2 s", async () => {
    await using pod = await startPod({ kind: "hang" }, {}, 10_000);
    await eventually(
      () => {
        expect(pod.ca.calls.length).toBe(1);
      },
      { withinMs: 2_000 },
    );
    pod.ca.set({ kind: "good" });
    await eventually(
      () => {
        expect(pod.store.store.status().state).toBe("valid");
      },
      { withinMs: 2_600 },
    );
  });
});
