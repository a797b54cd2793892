// SPDX-License-Identifier: Apache-2.0
import { X509Certificate } from "node:crypto";
import { expect, test } from "vitest";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { eventually } from "../../support/eventually.ts";
import { testAuthority } from "../../support/test-authority.ts";
import { issue } from "./issued.ts";
import { startLoad } from "./load.ts";
import { type MutualEnvoy, startMutualEnvoy } from "./mutual-envoy.ts";
import { bundle, startTestServer } from "./test-server.ts";

const requestsPerSecond = 200;
const rotations = 100;

async function untilServing(envoy: MutualEnvoy): Promise<void> {
  await eventually(
    async () => {
      expect(await envoy.get()).toBe(200);
    },
    { withinMs: 10_000 },
  );
}

async function untilUsed(envoy: MutualEnvoy, serial: string): Promise<void> {
  await eventually(
    async () => {
      expect(await envoy.leafSerials()).toEqual([serial]);
    },
    { withinMs: 5_000, everyMs: 30 },
  );
}

test(`${String(rotations)} rotations under ${String(requestsPerSecond)} requests a second over mutual TLS: none fails, Envoy rejects nothing`, {
  timeout: 90_000,
}, async () => {
  await using server = await startTestServer();
  const authority = testAuthority("root", Date.now());
  server.set("ROOTCA", bundle(authority.rootPem));
  server.set("default", issue(authority).secret);
  await using envoy = await startMutualEnvoy(server.directory, server.socketPath);
  await untilServing(envoy);
  const handshakes = await envoy.counter("cluster.peer.ssl.handshake$");
  await using load = startLoad(requestsPerSecond, () => envoy.get());
  for (let rotation = 0; rotation < rotations; rotation++) {
    const { secret, serial } = issue(authority);
    server.set("default", secret);
    await untilUsed(envoy, serial);
    await systemClock.delay(50);
  }
  await load[Symbol.asyncDispose]();
  expect(load.failures).toEqual([]);
  expect(load.requests).toBeGreaterThan(requestsPerSecond * 5);
  expect(await envoy.counter("update_rejected")).toBe(0);
  expect(await envoy.counter("cluster.peer.ssl.handshake$")).toBeGreaterThan(handshakes + rotations);
  expect(server.metrics.nacks.value("default")).toBe(0);
  expect(server.metrics.acks.value("default")).toBeGreaterThanOrEqual(rotations);
});

test("a root is replaced in three steps under traffic: new roots, new leaf, old root gone; no request fails", async () => {
  await using server = await startTestServer();
  const [before, after] = [testAuthority("old root", Date.now()), testAuthority("new root", Date.now())];
  server.set("ROOTCA", bundle(before.rootPem));
  server.set("default", issue(before).secret);
  await using envoy = await startMutualEnvoy(server.directory, server.socketPath);
  await untilServing(envoy);
  await using load = startLoad(requestsPerSecond, () => envoy.get());
  for (const step of [1, 2, 3]) {
    await systemClock.delay(500);
    if (step === 1) server.set("ROOTCA", bundle(before.rootPem + after.rootPem));
    if (step === 2) server.set("default", issue(after).secret);
    if (step === 3) server.set("ROOTCA", bundle(after.rootPem));
  }
  const serial = new X509Certificate(after.rootPem).serialNumber;
  await eventually(
    async () => {
      expect(await envoy.rootSerials()).toEqual([serial]);
    },
    { withinMs: 5_000 },
  );
  await systemClock.delay(500);
  await load[Symbol.asyncDispose]();
  expect(load.failures).toEqual([]);
  expect(await envoy.counter("update_rejected")).toBe(0);
});

test("roots and leaf that change in the same turn, leaf first, still reach Envoy roots first", async () => {
  await using server = await startTestServer();
  const [before, after] = [testAuthority("old root", Date.now()), testAuthority("new root", Date.now())];
  server.set("ROOTCA", bundle(before.rootPem));
  server.set("default", issue(before).secret);
  await using envoy = await startMutualEnvoy(server.directory, server.socketPath);
  await untilServing(envoy);
  await using load = startLoad(requestsPerSecond, () => envoy.get());
  const next = issue(after);
  server.events.length = 0;
  server.set("default", next.secret);
  server.set("ROOTCA", bundle(before.rootPem + after.rootPem));
  await untilUsed(envoy, next.serial);
  await systemClock.delay(300);
  await load[Symbol.asyncDispose]();
  expect(load.failures).toEqual([]);
  const order = server.events.map((event) => ("resource" in event ? `${event.kind} ${event.resource}` : event.kind));
  expect(order.lastIndexOf("accepted ROOTCA")).toBeLessThan(order.indexOf("sent default"));
});
