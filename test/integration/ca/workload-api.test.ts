// SPDX-License-Identifier: Apache-2.0
import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { status } from "@grpc/grpc-js";
import { describe, expect, test } from "vitest";
import { createWorkloadApi, type WorkloadApiConfig } from "../../../src/ca/index.ts";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { type FakeSvid, type FakeWorkloadApi, startFakeWorkloadApi } from "../../fakes/fake-workload-api.ts";
import { eventually } from "../../support/eventually.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { newKey, publicKeyOf, testAuthority } from "../../support/test-authority.ts";
import { type TestStore, testStore } from "../../support/test-store.ts";
import { testBudgets } from "../../support/budgets.ts";

const ca = testAuthority("agent", Date.now());
const federated = testAuthority("federated", Date.now());

function svid(spiffeId: string, more: Partial<FakeSvid> = {}): FakeSvid {
  const key = newKey();
  const chainPem = ca.issue({ publicKey: publicKeyOf(key), uris: [spiffeId] }, Date.now());
  return { spiffeId, chainPem, keyPem: key.export({ type: "pkcs8", format: "pem" }), bundlePem: ca.rootPem, ...more };
}

interface Setup extends AsyncDisposable {
  readonly agent: FakeWorkloadApi;
  readonly pod: TestStore;
}

async function setUp(config: Partial<WorkloadApiConfig> = {}, budgets = testBudgets()): Promise<Setup> {
  const directory = await temporaryDirectory();
  const path = join(directory.path, "agent.sock");
  const agent = await startFakeWorkloadApi(path);
  const whole = {
    endpoint: { kind: "unix", path },
    spiffeId: undefined,
    hint: undefined,
    federatesWith: [],
    ...config,
  } as const;
  const pod = testStore(createWorkloadApi(whole, { clock: systemClock, budgets }));
  return {
    agent,
    pod,
    async [Symbol.asyncDispose]() {
      await pod[Symbol.asyncDispose]();
      await agent[Symbol.asyncDispose]();
      await directory[Symbol.asyncDispose]();
    },
  };
}

async function untilServed(pod: TestStore, spiffeId: string): Promise<void> {
  await eventually(
    () => {
      expect(pod.store.status()).toMatchObject({ state: "valid", spiffeId, source: "spiffe" });
    },
    { withinMs: 4_000 },
  );
}

describe("the identity from a SPIFFE agent", () => {
  test("is served, and renewed when the agent renews it; dropped roots are dropped", async () => {
    await using it = await setUp();
    const bundles = it.pod.collect("ROOTCA");
    const certificates = it.pod.collect("default");
    const other = testAuthority("next", Date.now());
    it.agent.give([svid("spiffe://cluster.local/ns/a/sa/one"), svid("spiffe://cluster.local/ns/a/sa/two")]);
    await untilServed(it.pod, "spiffe://cluster.local/ns/a/sa/one");
    const second = svid("spiffe://cluster.local/ns/a/sa/one", { bundlePem: ca.rootPem + other.rootPem });
    it.agent.give([second]);
    await eventually(
      () => {
        expect(certificates).toHaveLength(2);
      },
      { withinMs: 2_000 },
    );
    it.agent.give([{ ...second, bundlePem: other.rootPem }]);
    await eventually(
      () => {
        expect(bundles.at(-1)).toEqual({ kind: "trust-bundle", rootsPem: other.rootPem });
      },
      { withinMs: 2_000 },
    );
    expect(it.agent.calls).toBe(1);
  });

  test("is chosen by its ID or by its hint", async () => {
    const two = "spiffe://cluster.local/ns/a/sa/two";
    const both = [svid("spiffe://cluster.local/ns/a/sa/one"), svid(two, { hint: "internal" })];
    for (const config of [{ spiffeId: two }, { hint: "internal" }]) {
      await using it = await setUp(config);
      it.agent.give(both);
      await untilServed(it.pod, two);
    }
  });

  test("comes on the open stream when the agent has the requested one, after others", async () => {
    const two = "spiffe://cluster.local/ns/a/sa/two";
    await using it = await setUp({ spiffeId: two });
    it.agent.give([svid("spiffe://cluster.local/ns/a/sa/one")]);
    await eventually(
      () => {
        expect(it.pod.pending()).toContain("it does not provide the requested identity");
      },
      { withinMs: 3_000 },
    );
    it.agent.give([svid("spiffe://cluster.local/ns/a/sa/one"), svid(two)]);
    await untilServed(it.pod, two);
    expect(it.agent.calls).toBe(1);
  });

  test("brings the roots of federated domains", async () => {
    await using it = await setUp({ federatesWith: ["other.example"] });
    const bundles = it.pod.collect("ROOTCA");
    it.agent.give([svid("spiffe://cluster.local/ns/a/sa/one")], { "spiffe://other.example": federated.rootPem });
    await eventually(
      () => {
        expect(bundles.at(-1)).toEqual({
          kind: "trust-bundle",
          rootsPem: ca.rootPem,
          domains: [
            { trustDomain: "cluster.local", rootsPem: ca.rootPem, isOwn: true },
            { trustDomain: "other.example", rootsPem: federated.rootPem, isOwn: false },
          ],
        });
      },
      { withinMs: 2_000 },
    );
  });

  test("stays in use while the agent rejects the request, sends garbage, or provides a pair that does not match", async () => {
    await using it = await setUp();
    const id = "spiffe://cluster.local/ns/a/sa/one";
    it.agent.refuse(status.PERMISSION_DENIED);
    await eventually(
      () => {
        expect(it.pod.pending()).toContain("it has no identity for this process: no identity issued");
      },
      { withinMs: 3_000 },
    );
    expect(it.pod.records.map(({ message }) => message)).toContain("no identity was provided; retrying");
    it.agent.give([svid(id)]);
    await untilServed(it.pod, id);
    const { serial } = it.pod.store.status();
    it.agent.give([svid(id, { keyPem: svid(id).keyPem })]);
    await eventually(
      () => {
        expect(it.pod.store.status().lastError).toContain("do not belong together");
      },
      { withinMs: 3_000 },
    );
    expect(it.pod.records.map(({ message }) => message)).toContain("provided identity rejected; retrying");
    it.agent.garble();
    await eventually(
      () => {
        expect(it.pod.store.status().lastError).toContain("its response cannot be parsed");
      },
      { withinMs: 3_000 },
    );
    expect(it.pod.store.status()).toMatchObject({ state: "valid", serial });
    expect(it.pod.pending()).toBeUndefined();
    it.agent.give([svid(id)]);
    await eventually(
      () => {
        expect(it.pod.store.status()).toMatchObject({ lastError: undefined });
      },
      { withinMs: 5_000 },
    );
    expect(it.pod.store.status().serial).not.toBe(serial);
  });

  test("A6: comes at once when the agent starts, however long its socket was missing", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "later", "agent.sock");
    const clock = new FakeClock(Date.now());
    const config = {
      endpoint: { kind: "unix", path },
      spiffeId: undefined,
      hint: undefined,
      federatesWith: [],
    } as const;
    await using pod = testStore(createWorkloadApi(config, { clock, budgets: testBudgets() }), { clock });
    /** Every wait before the next attempt, but the last one, passes. */
    for (let failures = 1; failures <= 6; failures++) {
      await eventually(
        () => {
          expect(pod.store.status().failuresInARow).toBe(failures);
        },
        { withinMs: 4_000 },
      );
      await clock.advance(failures < 6 ? failures * 1_000 : 1_100);
    }
    await mkdir(join(directory.path, "later"));
    await using agent = await startFakeWorkloadApi(path);
    const one = svid("spiffe://cluster.local/ns/a/sa/one");
    agent.give([one]);
    await eventually(
      async () => {
        await clock.advance(10);
        expect(pod.store.status()).toMatchObject({ state: "valid", spiffeId: one.spiffeId });
      },
      { withinMs: 3_000 },
    );
  });

  test("comes within 5 s of its registration, however often the agent had none for this process", async () => {
    await using directory = await temporaryDirectory();
    const path = join(directory.path, "agent.sock");
    await using agent = await startFakeWorkloadApi(path);
    agent.refuse(status.PERMISSION_DENIED);
    const clock = new FakeClock(Date.now());
    const config = {
      endpoint: { kind: "unix", path },
      spiffeId: undefined,
      hint: undefined,
      federatesWith: [],
    } as const;
    await using pod = testStore(createWorkloadApi(config, { clock, budgets: testBudgets() }), { clock });
    const untilFailed = (failures: number): Promise<void> =>
      eventually(
        () => {
          expect(pod.store.status().failuresInARow).toBe(failures);
        },
        { withinMs: 4_000 },
      );
    for (let failures = 1; failures <= 9; failures++) {
      await untilFailed(failures);
      await clock.advance(Math.min(failures * 1_000, 5_000));
    }
    await untilFailed(10);
    const one = svid("spiffe://cluster.local/ns/a/sa/one");
    agent.give([one]);
    await clock.advance(5_000);
    await eventually(
      () => {
        expect(pod.store.status()).toMatchObject({ state: "valid", spiffeId: one.spiffeId });
      },
      { withinMs: 3_000 },
    );
  });

  test("above the limit of a message is a problem, and the identity in use stays", async () => {
    await using it = await setUp({}, testBudgets({ "workload-api-message-bytes": 4_000 }));
    const one = svid("spiffe://cluster.local/ns/a/sa/one");
    it.agent.give([one]);
    await untilServed(it.pod, one.spiffeId);
    it.agent.give([svid("spiffe://cluster.local/ns/a/sa/two", { bundlePem: ca.rootPem.repeat(20) })]);
    await eventually(
      () => {
        expect(it.pod.store.status().lastError).toContain("at most 4000 are accepted");
      },
      { withinMs: 4_000 },
    );
    expect(it.pod.store.status()).toMatchObject({ state: "valid", spiffeId: one.spiffeId });
  });
});
