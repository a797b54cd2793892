// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { rawHttp } from "../../support/raw-http.ts";
import { startStatus } from "./status-fixture.ts";

test("a ready pod answers 200 with an empty body, and says so once", async () => {
  await using status = await startStatus();
  for (const method of ["GET", "POST", "HEAD", "OPTIONS"]) {
    const answer = await fetch(status.url("/healthz/ready"), { method });
    expect([answer.status, await answer.text(), answer.headers.get("content-type")]).toEqual([200, "", null]);
  }
  expect(status.asked).toEqual(["first ready"]);
  expect(status.records.filter((record) => record.message === "Envoy proxy is ready")).toHaveLength(1);
});

test("a 503 has an empty body too; a header names what is pending, and the log tells it once", async () => {
  await using status = await startStatus();
  status.readiness.note("xds", "served from cache");
  const table = status.readiness.hold("DNS", "no table", () => false);
  const hold = status.readiness.hold("identity", "sign CSR at istiod:15012: unreachable");
  for (let time = 0; time < 3; time++) {
    const { status: code, headers, body } = await rawHttp(status.port, { target: "/healthz/ready" });
    expect([code, body, headers.get("content-length"), headers.get("content-type")]).toEqual([503, "", "0", undefined]);
    expect(headers.get("x-attache-pending")).toBe("identity, DNS");
  }
  expect(status.records.filter(({ message }) => message === "Envoy proxy is NOT ready")).toMatchObject([
    { level: "debug" },
  ]);
  hold.release();
  const ready = await rawHttp(status.port, { target: "/healthz/ready" });
  expect([ready.status, ready.body, ready.headers.get("x-attache-pending")]).toEqual([200, "", undefined]);
  table.release();
});

test("whatever a hold is called, its name is a header of bounded length", async () => {
  await using status = await startStatus();
  using _hold = status.readiness.hold(`Zertifikat \u2013 "für"\r\nSet-Cookie: a=b ${"x".repeat(1_000)}`);
  const { status: code, headers } = await rawHttp(status.port, { target: "/healthz/ready" });
  expect([code, headers.has("set-cookie")]).toEqual([503, false]);
  expect(headers.get("x-attache-pending")).toMatch(/^Zertifikat {3}"f r" Set-Cookie: a=b x{200,}$/);
  expect(headers.get("x-attache-pending")?.length).toBe(256);
});

test("?verbose and JSON tell each hold with its last error and since when", async () => {
  await using status = await startStatus();
  using _hold = status.readiness.hold("identity", "sign CSR at istiod:15012: unreachable");
  const verbose = await rawHttp(status.port, { target: "/healthz/ready?verbose" });
  expect([verbose.status, verbose.body]).toEqual([
    503,
    expect.stringMatching(
      /^\[-\] identity: sign CSR at istiod:15012: unreachable \(since \d{4}-\d\d-\d\dT[\d:.]+Z\)$/m,
    ),
  ]);
  const json = await rawHttp(status.port, { target: "/healthz/ready", headers: ["Accept: application/json"] });
  const said = { name: "identity", state: "failed", detail: "sign CSR at istiod:15012: unreachable" };
  expect([json.status, JSON.parse(json.body)]).toMatchObject([
    503,
    { ready: false, checks: [{ name: "envoy" }, said] },
  ]);
});

test("R9 once the agent ends, the pod is not ready whatever Envoy says", async () => {
  await using status = await startStatus({}, { terminating: () => "received signal: terminated" });
  const answer = await fetch(status.url("/healthz/ready"));
  expect([answer.status, answer.headers.get("x-attache-pending")]).toEqual([503, "termination"]);
  const verbose = await fetch(status.url("/healthz/ready?verbose"));
  expect([verbose.status, await verbose.text()]).toEqual([
    503,
    expect.stringContaining("server is terminated: received signal: terminated"),
  ]);
});
