// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { eventually } from "../../support/eventually.ts";
import { testAuthority } from "../../support/test-authority.ts";
import { issue } from "./issued.ts";
import { createRevocation } from "./revocation.ts";
import { type SdsApi, startMutualEnvoy } from "./mutual-envoy.ts";
import { bundle, certificate, startTestServer } from "./test-server.ts";

test.each<[string, SdsApi]>([
  ["state of the world", "GRPC"],
  ["delta", "DELTA_GRPC"],
])(
  "by %s, Envoy waits for its certificate, takes it, and takes the next one on the open stream",
  async (_title, api) => {
    await using server = await startTestServer();
    const authority = testAuthority("root", Date.now());
    await using envoy = await startMutualEnvoy(server.directory, server.socketPath, api);
    await eventually(
      () => {
        expect(server.metrics.subscribers.value("default")).toBeGreaterThan(0);
      },
      { withinMs: 5_000 },
    );
    expect(await envoy.leafSerials()).toEqual([]);
    const first = issue(authority);
    server.set("ROOTCA", bundle(authority.rootPem));
    server.set("default", first.secret);
    await eventually(
      async () => {
        expect(await envoy.leafSerials()).toEqual([first.serial]);
      },
      { withinMs: 5_000 },
    );
    await eventually(
      async () => {
        expect(await envoy.get()).toBe(200);
      },
      { withinMs: 5_000 },
    );

    const streams = server.metrics.streams.value();
    // Envoy counts a failure for each subscription that it makes before its own cluster is ready.
    const failures = await envoy.counter("update_failure");
    const second = issue(authority);
    server.set("default", second.secret);
    await eventually(
      async () => {
        expect(await envoy.leafSerials()).toEqual([second.serial]);
      },
      { withinMs: 5_000 },
    );
    expect(await envoy.get()).toBe(200);
    expect(server.metrics.streams.value()).toBe(streams);
    expect(await envoy.counter("update_rejected")).toBe(0);
    expect(await envoy.counter("update_failure")).toBe(failures);
    expect(server.metrics.nacks.value("default")).toBe(0);
  },
);

test("A12: what Envoy cannot use it rejects, keeps what it has, and takes the next", async () => {
  await using server = await startTestServer();
  const authority = testAuthority("root", Date.now());
  const good = issue(authority);
  server.set("ROOTCA", bundle(authority.rootPem));
  server.set("default", good.secret);
  await using envoy = await startMutualEnvoy(server.directory, server.socketPath);
  await eventually(
    async () => {
      expect(await envoy.leafSerials()).toEqual([good.serial]);
    },
    { withinMs: 5_000 },
  );
  server.set("default", certificate("no certificate at all"));
  await eventually(
    () => {
      expect(server.metrics.nacks.value("default")).toBeGreaterThan(0);
    },
    { withinMs: 5_000 },
  );
  const rejected = server.events.find((event) => event.kind === "rejected");
  expect(rejected).toMatchObject({ resource: "default", reason: expect.stringMatching(/certificate/i) as string });
  expect(await envoy.leafSerials()).toEqual([good.serial]);
  const next = issue(authority);
  server.set("default", next.secret);
  await eventually(
    async () => {
      expect(await envoy.leafSerials()).toEqual([next.serial]);
    },
    { withinMs: 5_000 },
  );
});

test("a certificate on the pushed revocation list is rejected by Envoy; another one is accepted", async () => {
  await using server = await startTestServer({}, true);
  const authority = testAuthority("root", Date.now());
  const revocation = await createRevocation(server.directory, authority);
  const revoked = issue(authority);
  server.set("ROOTCA", bundle(authority.rootPem));
  server.set("default", revoked.secret);
  server.setCrl(await revocation.list());
  await using envoy = await startMutualEnvoy(server.directory, server.socketPath);
  const answers = async (status: number): Promise<void> => {
    await eventually(
      async () => {
        expect(await envoy.get()).toBe(status);
      },
      { withinMs: 5_000 },
    );
  };
  await answers(200);
  server.setCrl(await revocation.list(revoked.chainPem));
  await answers(503);
  server.set("default", issue(authority).secret);
  await answers(200);
  expect(await envoy.counter("update_rejected")).toBe(0);
});

test("A1: beside other trust domains, the revocation list is in force for the one that it is of, and for no other", async () => {
  await using server = await startTestServer({}, true);
  const [authority, other] = [testAuthority("root", Date.now()), testAuthority("other root", Date.now())];
  const revocation = await createRevocation(server.directory, authority);
  const revoked = issue(authority);
  const own = { trustDomain: "cluster.local", rootsPem: authority.rootPem, isOwn: true };
  const domains = [{ trustDomain: "b.example", rootsPem: other.rootPem, isOwn: false }, own];
  server.set("ROOTCA", { kind: "trust-bundle", rootsPem: authority.rootPem, domains });
  server.set("default", revoked.secret);
  server.setCrl(await revocation.list());
  await using envoy = await startMutualEnvoy(server.directory, server.socketPath);
  const answers = async (status: number): Promise<void> => {
    await eventually(
      async () => {
        expect(await envoy.get()).toBe(status);
      },
      { withinMs: 5_000 },
    );
  };
  await answers(200);
  server.setCrl(await revocation.list(revoked.chainPem));
  await answers(503);
  server.set("default", issue(authority).secret);
  await answers(200);
  server.set("default", issue(other).secret);
  await answers(503);
  server.set("default", issue(other, "spiffe://b.example/ns/demo/sa/web").secret);
  await answers(200);
  expect(await envoy.counter("update_rejected")).toBe(0);
});
