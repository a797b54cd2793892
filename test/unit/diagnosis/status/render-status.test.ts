// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { parsePodStatus, statusWithoutAgent } from "../../../../src/diagnosis/status/pod-status.ts";
import { renderStatus } from "../../../../src/diagnosis/status/render-status.ts";
import { withoutTime } from "../../../../src/diagnosis/status/watch-status.ts";
import type { JsonObject } from "../../../../src/lib/json.ts";
import { noPaint } from "../../../../src/lib/paint.ts";

const nowMs = Date.parse("2026-06-01T12:00:00Z");
const ago = (seconds: number): string => new Date(nowMs - seconds * 1_000).toISOString();

const typeUrl = (name: string): string => `type.googleapis.com/envoy.config.${name}`;
const synced = {
  typeUrl: typeUrl("cluster.v3.Cluster"),
  state: "SYNCED",
  version: "2026-06-01T11:00:00Z/17",
  versionSent: "2026-06-01T11:00:00Z/17",
  lastSentAt: ago(61),
  lastAckedAt: ago(60),
  resourceCount: 12,
};
const nacked = {
  ...synced,
  typeUrl: typeUrl("listener.v3.Listener"),
  state: "NACKED",
  versionSent: "2026-06-01T11:59:00Z/18",
  refusal: { version: "2026-06-01T11:59:00Z/18", since: ago(45), resources: ["0.0.0.0_80"], reason: "no such filter" },
};
const stale = { ...synced, typeUrl: typeUrl("route.v3.RouteConfiguration"), state: "STALE", lastSentAt: ago(5) };
const notSent = { typeUrl: typeUrl("endpoint.v3.ClusterLoadAssignment"), state: "NOT SENT", version: "" };

const ready: JsonObject = {
  now: ago(0),
  headline: { state: "ready", sentence: "The pod is ready." },
  agent: { version: "0.1.0", startedAt: ago(7_500) },
  envoy: {
    version: "1.40.0",
    state: "LIVE",
    startedAt: ago(3_600),
    restarts: { count: 1, hotRestarts: 2, lastFailure: "signal SIGSEGV" },
  },
  node: { name: "web-1", namespace: "demo", serviceAccount: "web" },
  ca: { kind: "istio", address: "istiod:15012", lastSuccessAt: ago(90), failuresInARow: 0 },
  controlPlane: { address: "istiod:15012", connected: true, since: ago(7_400) },
  readiness: { ready: true, checks: [] },
  certificates: [
    {
      spiffeId: "spiffe://cluster.local/ns/demo/sa/web",
      serial: "1A",
      issuer: "O=x",
      notAfter: ago(-3_600),
      nextRenewalAt: ago(-1_800),
    },
  ],
  roots: [{ subject: "O=x", notAfter: ago(-86_400 * 30) }],
  xds: { connected: true, types: [synced, nacked, stale, notSent] },
  lastErrors: [{ at: ago(20), level: "warn", scope: "cert", text: "late \u001B[31m" }],
  drain: "not draining",
};

const text = (overview: JsonObject, columns = 80): string =>
  renderStatus(parsePodStatus(overview, nowMs), { paint: noPaint, columns });

test("a ready pod", () => {
  expect(text(ready)).toBe(`READY

Pod            web-1.demo, service account web
Agent          0.1.0, up 2 h 5 min
Envoy          1.40.0, LIVE, up 1 h, 1 restart, 2 hot restarts, last: signal
               SIGSEGV
CA             istiod:15012 (istio), last certificate 1 min 30 s ago
Control plane  istiod:15012, connected for 2 h 3 min
Certificate    spiffe://cluster.local/ns/demo/sa/web
               valid for 1 h, next renewal in 30 min
Roots          1, it expires in 30 d

TYPE   STATE      VERSION                   RESOURCES   UPDATED
CDS    SYNCED     2026-06-01T11:00:00Z/17   12          1 min ago
LDS    NACKED     2026-06-01T11:00:00Z/17   12          1 min 1 s ago
RDS    STALE      2026-06-01T11:00:00Z/17   12          5 s ago
EDS    NOT SENT   -                         -           -
LDS: version 2026-06-01T11:59:00Z/18 was rejected 45 s ago (0.0.0.0_80); version
     2026-06-01T11:00:00Z/17 stays in use: no such filter

Last warnings and errors
  20 s ago, warn (cert): late \\u001b[31m
`);
});

test("a pod that is not ready says why first, what to do, and what it waits for", () => {
  const checks = [
    {
      name: "envoy",
      state: "failed",
      checks: [
        { name: "clusters (CDS)", state: "failed", detail: "x is away" },
        { name: "listeners (LDS)", state: "failed", detail: "x is away" },
      ],
    },
    { name: "renewal", state: "not-counted", detail: "late" },
  ];
  const headline = { state: "not-ready", sentence: "The control plane cannot be used: x is away.", cure: "Start it." };
  const controlPlane = {
    address: "x:1",
    connected: false,
    since: ago(9),
    lastFailure: { at: ago(1), reason: "x is away" },
  };
  const lines = text({ ...ready, headline, controlPlane, readiness: { ready: false, checks } }).split("\n");
  expect(lines.slice(0, 5)).toEqual([
    "NOT READY: The control plane cannot be used: x is away.",
    "-> Start it.",
    "",
    "Waits for",
    "  clusters (CDS), listeners (LDS)",
  ]);
  expect(lines).toContain("Control plane  x:1, not connected for 9 s");
  const other = { state: "not-ready", sentence: "Envoy does not run." };
  expect(text({ ...ready, headline: other, readiness: { ready: false, checks } })).toContain(
    "Waits for\n  clusters (CDS), listeners (LDS): x is away\n",
  );
});

test.each([80, 60])("no line is longer than %i columns", (columns) => {
  const words = "a long reason with many words ".repeat(12).trim();
  const headline = { state: "not-ready", sentence: words, cure: words };
  const checks = [{ name: "identity", state: "failed", detail: `${words}!` }];
  const ca = {
    kind: "istio",
    address: "istiod:15012",
    failuresInARow: 4,
    lastFailure: { at: ago(1), reason: `${words}?` },
  };
  const lastErrors = Array.from("abcdefghi", (text) => ({
    at: ago(9),
    level: "error",
    scope: "",
    text: `${words} ${text}`,
  }));
  const shown = text({ ...ready, headline, ca, lastErrors, readiness: { ready: false, checks } }, columns);
  expect(shown.split("\n").filter((line) => line.length > columns)).toEqual([]);
  expect(shown).toContain("  and 4 more in the log\n");
});

test("a pod without an agent, one that shuts down, and one of which only readiness is known", () => {
  const absent = (isLate: boolean): string =>
    renderStatus(statusWithoutAgent({ why: "No agent.", cure: "See it.", isLate }, nowMs), {
      paint: noPaint,
      columns: 80,
    });
  expect(absent(false)).toBe("NO AGENT: No agent.\n-> See it.\n");
  expect(absent(true)).toBe("NO RESPONSE: No agent.\n-> See it.\n");
  const headline = { state: "shutting-down", sentence: "The agent shuts down: SIGTERM." };
  const leaving = text({ headline, readiness: { ready: false, checks: [] }, drain: "draining Envoy" });
  expect(leaving).toBe("SHUTTING DOWN: The agent shuts down: SIGTERM.\nDrain: draining Envoy\n");
  expect(text({ ready: false, checks: [{ name: "identity", state: "failed", detail: "none" }] })).toBe(
    "NOT READY: The pod is not ready.\n\nWaits for\n  identity: none\n",
  );
});

test("errors that differ in numbers alone are one with their count, and none is cut before its cure", () => {
  const long = `${"no connection to the CA ".repeat(9)}attempt`;
  const lastErrors = [3, 2, 1].map((attempt) => {
    return { at: ago(10 - attempt), level: "warn", scope: "cert", text: `${long} ${String(attempt)}; correct CA_ADDR` };
  });
  const shown = text({ lastErrors: [...lastErrors, { at: ago(90), level: "error", scope: "", text: "once" }] });
  const [, list = ""] = shown.split("Last warnings and errors\n");
  expect(list.replaceAll(/\s+/g, " ")).toBe(
    ` 7 s ago, 3 times, warn (cert): ${long} 3; correct CA_ADDR 1 min 30 s ago, error: once `,
  );
});

test("a pod whose name is not known, and a renewal that is under way", () => {
  const [certificate] = ready["certificates"] as readonly JsonObject[];
  const shown = text({
    ...ready,
    node: { name: "", namespace: "demo", serviceAccount: "" },
    certificates: [{ ...certificate, nextRenewalAt: ago(2) }],
  });
  expect(shown).toContain("Pod            name not known, namespace demo\n");
  expect(shown).toContain("valid for 1 h, next renewal now\n");
});

test("an Envoy that does not respond is told from the readiness tree, also where there is no headline", () => {
  const silent = { name: "admin interface", code: "envoy-silent", state: "failed", detail: "no response" };
  const checks = [{ name: "envoy", state: "not-counted", checks: [silent] }];
  expect(parsePodStatus({ ready: true, checks }, nowMs)).toMatchObject({
    ready: true,
    envoyResponds: false,
    sentence: "The pod is ready, but Envoy does not respond.",
  });
  expect(parsePodStatus(ready, nowMs).envoyResponds).toBe(true);
});

test("an exit that is longer ago is no change", () => {
  const of = (when: string): string =>
    withoutTime(statusWithoutAgent({ why: `Code 137 ${when}: killed.`, cure: "", isLate: false }, nowMs));
  expect(of("just now")).toBe(of("1 min 1 s ago"));
});

test("time alone is no change, and everything else is", () => {
  const of = (overview: JsonObject): string => withoutTime(parsePodStatus(overview, nowMs));
  const later = { ...ready, now: ago(-60), ca: { ...(ready["ca"] as JsonObject), lastSuccessAt: ago(-30) } };
  expect(of(later)).toBe(of(ready));
  for (const change of [
    { headline: { state: "ready", sentence: "The pod is ready, but." } },
    { envoy: { state: "LIVE", restarts: { count: 2 } } },
    { xds: { connected: true, types: [{ ...synced, version: "18" }] } },
    { controlPlane: { address: "istiod:15012", connected: false } },
    { lastErrors: [] },
  ]) {
    expect(of({ ...ready, ...change }), JSON.stringify(change)).not.toBe(of(ready));
  }
});
