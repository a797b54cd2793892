// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
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

test("a 503 names each hold with its last error and since when, and the log tells it once", async () => {
  await using status = await startStatus();
  const hold = status.readiness.hold("workload certificate", "sign CSR at istiod:15012: unreachable");
  for (let time = 0; time < 3; time++) {
    const answer = await fetch(status.url("/healthz/ready"));
    expect(answer.status).toBe(503);
    expect(await answer.text()).toMatch(
      /^workload certificate: sign CSR at istiod:15012: unreachable \(since \d{4}-\d\d-\d\dT[\d:.]+Z\)\n$/,
    );
  }
  expect(status.records.filter((record) => record.level === "warn")).toHaveLength(1);
  hold.release();
  expect((await fetch(status.url("/healthz/ready"))).status).toBe(200);
});

test("R9 once the agent ends, the pod is not ready whatever Envoy says", async () => {
  await using status = await startStatus({}, { terminating: () => "received signal: terminated" });
  const answer = await fetch(status.url("/healthz/ready"));
  expect(answer.status).toBe(503);
  expect(await answer.text()).toContain("server is terminated: received signal: terminated");
});
