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
const uncertified: ReadinessCheck = {
  name: "identity",
  code: "certificate",
  state: "not-counted",
  detail: "no certificate yet: the token file /var/run/token does not exist; mount it there",
};

const certificate = { resourceName: "default", spiffeId: "spiffe://x/y", serial: "1A", notBeforeMs: 1, notAfterMs: 9 };
const none = { certificates: [certificate], terminating: undefined, controlPlane: undefined, xds: undefined };

function headline(checks: readonly ReadinessCheck[], facts: Partial<HeadlineFacts> = {}) {
  const ready = checks.every(({ state }) => state !== "failed");
  const readiness = { ready, checks, phases: [] };
  return headlineOf({ readiness, ...none, ca, ...facts });
}

test("a missing token is named, rather than that Envoy waits for its configuration", () => {
  const asked: ReadinessCheck = { ...uncertified, state: "failed" };
  const controlPlane = { ...plane, connected: false, lastFailure: { atMs: 1, reason: "stream rejected" } };
  expect(headline([waits, asked], { ca: failingCa, controlPlane })).toMatchObject({
    state: "not-ready",
    sentence: "No certificate yet: the token file /var/run/token does not exist; mount it there.",
    cure: expect.stringContaining("attache doctor") as string,
  });
});

test("what keeps the pod unready comes before a certificate that Envoy has not asked for", () => {
  const controlPlane = { ...plane, connected: false, lastFailure: { atMs: 1, reason: "stream rejected" } };
  expect(headline([waits, uncertified], { ca: failingCa, controlPlane }).sentence).toMatch(/stream rejected\.$/);
  expect(headline([uncertified, { name: "dns", state: "failed" }], { ca: failingCa }).sentence).toMatch(
    /^No certificate/,
  );
});

test("an expired certificate is named with its time", () => {
  const detail = "the certificate expired at 2026-01-01T00:00:00.000Z and was not renewed: the CA is away";
  expect(headline([{ ...uncertified, state: "failed", detail }, waits]).sentence).toBe(
    "The certificate expired at 2026-01-01T00:00:00Z and was not renewed: the CA is away.",
  );
});

test("a CA that hangs is named before its first failure, as soon as Envoy waits for the certificate", () => {
  const detail = "no certificate yet: the CA at ca:15012 is connected, but does not respond";
  expect(headline([waits, { ...uncertified, state: "failed", detail }]).sentence).toBe(
    "No certificate yet: the CA at ca:15012 is connected, but does not respond.",
  );
  const controlPlane = { ...plane, connected: true, lastFailure: undefined };
  expect(headline([waits, uncertified], { controlPlane }).sentence).toMatch(/^Envoy has no configuration/);
});

test.each([
  ["away", false, { atMs: 1, reason: "connect: ECONNREFUSED" }, "Envoy has no configuration: connect: ECONNREFUSED."],
  [
    "silent",
    true,
    undefined,
    "Envoy has no configuration: the control plane at istiod:15012 has sent no clusters or no listeners yet.",
  ],
  ["not yet asked", false, undefined, "Envoy has no configuration: no update was received."],
])("a control plane that is %s", (_, connected, lastFailure, sentence) => {
  expect(headline([waits], { controlPlane: { ...plane, connected, lastFailure } }).sentence).toBe(sentence);
});

test("an Envoy that does not run comes before everything that waits for it", () => {
  const dead: ReadinessCheck = { name: "process", code: "envoy-start", state: "failed", detail: "Envoy failed with 1" };
  expect(
    headline([{ name: "envoy", state: "failed", children: [dead] }, uncertified], { ca: failingCa }).sentence,
  ).toBe("Envoy does not run: Envoy failed with 1.");
});

const silent: ReadinessCheck = {
  name: "admin interface",
  code: "envoy-silent",
  state: "failed",
  detail: "Envoy's admin interface accepts connections, but does not respond within 300 ms",
};

test("an Envoy that does not respond is a warning in a ready pod, and the cause in another", () => {
  expect(headline([{ name: "envoy", state: "not-counted", children: [silent] }], { ca: failingCa })).toEqual({
    state: "ready",
    sentence: "The pod is ready, but Envoy does not respond.",
    cure: expect.stringMatching(/^Envoy is stopped or overloaded: `attache doctor`.*restart the container/) as string,
  });
  expect(headline([{ name: "envoy", state: "failed", children: [silent] }])).toMatchObject({
    state: "not-ready",
    sentence: "Envoy's admin interface accepts connections, but does not respond within 300 ms.",
  });
});

test("a ready pod without any certificate is not told that the one in use stays valid", () => {
  const { sentence, cure } = headline([uncertified], { ca: failingCa, certificates: [] });
  expect(sentence).toBe(
    "The pod is ready, but no certificate was obtained, which nothing has requested yet: read token /var/run/token: no such file.",
  );
  expect(cure).not.toContain("in use");
  expect(headline([], { ca: failingCa }).cure).toContain("in use");
});

const refusal = { version: "2", sinceMs: 1, resources: ["web"], reason: "no such cluster" };
const refused = {
  connected: true,
  types: [
    { typeUrl: "type.googleapis.com/envoy.config.route.v3.RouteConfiguration", state: "NACKED" as const, refusal },
  ],
};

test("a rejected update is named with Envoy's reason, also in a ready pod", () => {
  const found = { code: "configuration-refused", state: "failed", detail: "every update was rejected:\nno" } as const;
  const check: ReadinessCheck = { name: "listeners (LDS)", ...found };
  const controlPlane = { ...plane, connected: true, lastFailure: undefined };
  expect(
    headline([{ name: "envoy", state: "failed", children: [check] }], { xds: refused, controlPlane }),
  ).toMatchObject({
    sentence: "Envoy has no configuration: listeners (LDS): every update was rejected: no.",
    cure: expect.stringMatching(/^Correct or remove/) as string,
  });
  expect(headline([], { xds: refused })).toMatchObject({
    state: "ready",
    sentence: "The pod is ready, but Envoy rejects routes (RDS): no such cluster.",
  });
});

test("files that Envoy cannot read are named without advice about a control plane that is not there", () => {
  const detail = "no update could be read: /etc/lds.yaml: not YAML; correct it there";
  const check: ReadinessCheck = { name: "listeners (LDS)", code: "configuration-refused", state: "failed", detail };
  expect(headline([{ name: "envoy", state: "failed", children: [check] }])).toEqual({
    state: "not-ready",
    sentence: `Envoy has no configuration: listeners (LDS): ${detail}.`,
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
