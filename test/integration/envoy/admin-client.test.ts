// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { expect, test } from "vitest";
import { createEnvoyAdmin } from "../../../src/envoy/running-envoy.ts";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { testBudgets } from "../../support/budgets.ts";

test("a response beyond the limit is rejected, and counted against the budget", async () => {
  const budgets = testBudgets({ "envoy-admin-response-bytes": 1_000 });
  const server = createServer((request, response) => {
    response.end("x".repeat(Number(request.url?.slice(1))));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  try {
    const admin = createEnvoyAdmin({ host: "127.0.0.1", port }, { clock: systemClock, budgets });
    await expect(admin.request("GET", "/1000")).resolves.toHaveLength(1_000);
    await expect(admin.request("GET", "/1001")).rejects.toMatchObject({ failure: "too-large" });
  } finally {
    server.close();
  }
  expect(budgets.facts().find(({ name }) => name === "envoy-admin-response-bytes")).toMatchObject({ spentTotal: 1 });
});
