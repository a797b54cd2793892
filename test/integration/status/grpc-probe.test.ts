// SPDX-License-Identifier: Apache-2.0
import { createServer } from "node:net";
import { expect, test } from "vitest";
import { answer, startFakeApp } from "../../fakes/fake-app.ts";
import { serving, startFakeHealth } from "../../fakes/fake-health.ts";
import { testBudgets } from "../../support/budgets.ts";
import { listening } from "../../support/listening.ts";
import { startStatus } from "./status-fixture.ts";

const live = "/app-health/app/livez";

async function probe(
  port: number,
  service = "",
  { timeoutMs = 2_000, host = "127.0.0.1", source = "127.0.0.6" } = {},
): Promise<{ readonly status: number; readonly reason: string; readonly ms: number }> {
  const appProbes = { [live]: { handler: { kind: "grpc", port, service } as const, timeoutMs } };
  await using status = await startStatus({ appProbes, appHost: host, probeSourceAddress: source });
  const start = performance.now();
  const made = await fetch(status.url(live), { headers: { "User-Agent": "kube-probe/1.34" } });
  expect(await made.text()).toBe("");
  const reason = made.headers.get("x-attache-probe-reason") ?? "";
  return { status: made.status, reason, ms: performance.now() - start };
}

test.each([
  ["IPv4", "127.0.0.1", "127.0.0.6"],
  ["IPv6", "::1", "::1"],
])("P18 over %s the answer is 200 for SERVING and 500 for all others", async (_name, host, source) => {
  const statuses = { "": serving.serving, off: serving.notServing, on: serving.serving, odd: serving.unknown };
  await using app = await startFakeHealth({ host, statuses });
  const results = [];
  for (const service of ["", "off", "on", "odd", "none"]) {
    const { status, reason } = await probe(app.port, service, { host, source });
    results.push([service, status, reason]);
  }
  expect(results).toEqual([
    ["", 200, ""],
    ["off", 500, "the health service responded with NOT_SERVING"],
    ["on", 200, ""],
    ["odd", 500, "the health service responded with UNKNOWN"],
    ["none", 500, expect.stringContaining("NOT_FOUND")],
  ]);
  expect(app.asked[0]?.userAgent).toMatch(/^kube-probe\/1\.34/);
  expect(app.asked[0]?.peer).toContain(source);
});

test("a closed port fails at once with the cause, not after the timeout", async () => {
  const { status, reason, ms } = await probe(1, "", { timeoutMs: 5_000 });
  expect([status, reason]).toEqual([500, expect.stringContaining("ECONNREFUSED")]);
  expect(ms).toBeLessThan(1_000);
});

test("a response of the health service that is longer than the budget fails the probe", async () => {
  await using app = await startFakeHealth({ statuses: { "": serving.serving } });
  const appProbes = { [live]: { handler: { kind: "grpc", port: app.port, service: "" } as const, timeoutMs: 2_000 } };
  await using status = await startStatus({ appProbes }, {}, testBudgets({ "probe-body-bytes": 1 }));
  const made = await fetch(status.url(live));
  expect(made.status).toBe(500);
  expect(made.headers.get("x-attache-probe-reason")).toContain("RESOURCE_EXHAUSTED");
});

test("a server without the health service, one that hangs, and one that is none", async () => {
  await using bare = await startFakeHealth({ implemented: false });
  expect((await probe(bare.port)).reason).toContain("does not implement the gRPC health protocol");
  await using hanging = await startFakeHealth({ hangs: true });
  expect((await probe(hanging.port, "", { timeoutMs: 300 })).reason).toContain(
    "no response within the probe's timeout",
  );
  await using web = await startFakeApp(answer(200));
  expect((await probe(web.port, "", { timeoutMs: 1_000 })).status).toBe(500);
  await using silent = await listening(createServer());
  const made = await probe(silent.port, "", { timeoutMs: 300 });
  expect([made.status, made.reason]).toEqual([500, expect.stringContaining("no response within the probe's timeout")]);
});
