// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { type HeadlineFacts, headlineOf } from "../../../../src/status/debug/headline.ts";
import type { ReadinessCheck } from "../../../../src/status/readiness/readiness-report.ts";

const noFailure = { lastSuccessAtMs: 1, lastFailure: undefined, failingSinceMs: undefined, failuresInARow: 0 };
const ca = { kind: "istio", address: "ca:15012", ...noFailure };
const plane = { address: "istiod:15012", sinceMs: 1, lastResponseAtMs: undefined };
const tokenMissing = { atMs: 1, reason: "read token /var/run/token: no such file" };
const failingCa = { ...ca, lastFailure: tokenMissing, failingSinceMs: 1, failuresInARow: 3 };

const waits: ReadinessCheck = {
  name: "envoy",
  state: "failed",
  detail: "config not received from XDS server (is Istiod running?)",
  children: [
    { name: "admin interface", state: "passed" },
    { name: "clusters (CDS)", code: "control-plane", state: "failed", detail: "no update was received" },
    { name: "server state", code: "envoy-initialising", state: "not-counted", detail: "PRE_INITIALIZING" },
  ],
};
const uncertified: ReadinessCheck = { name: "identity", code: "certificate", state: "not-counted", detail: "waiting" };

const none = { nowMs: 0, terminating: undefined, certificates: [], controlPlane: undefined, xds: undefined };

function headline(checks: readonly ReadinessCheck[], facts: Partial<HeadlineFacts> = {}) {
  const ready = checks.every(({ state }) => state !== "failed");
  const readiness = { ready, checks, phases: [] };
  return headlineOf({ readiness, ...none, ca, ...facts });
}

test("a missing token is named, rather than that Envoy waits for its configuration", () => {
  const controlPlane = { ...plane, connected: false, lastFailure: { atMs: 1, reason: "stream rejected" } };
  expect(headline([waits, uncertified], { ca: failingCa, controlPlane })).toMatchObject({
    state: "not-ready",
    sentence: "There is no workload certificate: read token /var/run/token: no such file.",
    cure: expect.stringContaining("attache doctor") as string,
  });
});

test("an expired certificate is named with its time", () => {
  const certificates = [{ resourceName: "default", notAfterMs: Date.parse("2026-01-01T00:00:00Z") }];
  const nowMs = Date.parse("2026-01-01T00:00:01Z");
  expect(headline([uncertified, waits], { ca: failingCa, certificates, nowMs }).sentence).toMatch(
    /^The workload certificate expired at 2026-01-01T00:00:00Z: read token/,
  );
});

test.each([
  [
    "away",
    false,
    { atMs: 1, reason: "connect: ECONNREFUSED" },
    "The control plane cannot be used: connect: ECONNREFUSED.",
  ],
  ["silent", true, undefined, "The control plane at istiod:15012 has sent no clusters or no listeners yet."],
  ["not yet asked", false, undefined, "The pod is not ready: clusters (CDS): no update was received."],
])("a control plane that is %s", (_, connected, lastFailure, sentence) => {
  expect(headline([waits], { controlPlane: { ...plane, connected, lastFailure } }).sentence).toBe(sentence);
});

test("an Envoy that does not run comes before everything that waits for it", () => {
  const dead: ReadinessCheck = { name: "process", code: "envoy-start", state: "failed", detail: "Envoy failed with 1" };
  expect(
    headline([{ name: "envoy", state: "failed", children: [dead] }, uncertified], { ca: failingCa }).sentence,
  ).toBe("Envoy does not run: Envoy failed with 1.");
});

const refusal = { version: "2", sinceMs: 1, resources: ["web"], reason: "no such cluster" };
const refused = {
  connected: true,
  types: [
    { typeUrl: "type.googleapis.com/envoy.config.route.v3.RouteConfiguration", state: "NACKED" as const, refusal },
  ],
};

test("a rejected update is named with Envoy's reason, also in a ready pod", () => {
  const check: ReadinessCheck = { name: "listeners (LDS)", code: "configuration-refused", state: "failed" };
  expect(headline([{ name: "envoy", state: "failed", children: [check] }], { xds: refused }).sentence).toBe(
    "Envoy rejects routes (RDS): no such cluster.",
  );
  expect(headline([], { xds: refused })).toMatchObject({
    state: "ready",
    sentence: "The pod is ready, but Envoy rejects routes (RDS): no such cluster.",
  });
});

test("a ready pod says what will end that", () => {
  expect(headline([])).toEqual({ state: "ready", sentence: "The pod is ready." });
  expect(headline([], { ca: failingCa }).sentence).toMatch(
    /^The pod is ready, but its certificate is not renewed: read/,
  );
  const controlPlane = { ...plane, connected: false, lastFailure: { atMs: 1, reason: "reset" } };
  expect(headline([], { controlPlane }).sentence).toBe("The pod is ready, but has no control plane: reset.");
});

test("a shutdown is named with its cause, and nothing else", () => {
  expect(headline([waits], { terminating: "received signal: SIGTERM" })).toEqual({
    state: "shutting-down",
    sentence: "The agent shuts down: received signal: SIGTERM.",
  });
});
