// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { createModuleMetrics } from "../../../src/agent/metrics.ts";
import { testBudgets } from "../../support/budgets.ts";
import { FakeClock } from "../../support/fake-clock.ts";

test("attempts to obtain a certificate are counted by outcome and status, and under pilot-agent's names", async () => {
  const { agent, cert } = await createModuleMetrics(
    { envoyStarts: () => ({ restarts: 0, hotRestarts: 0, failedHotRestarts: 0 }), externalSds: false, xdsProxy: false },
    { clock: new FakeClock(), budgets: testBudgets() },
  );
  cert.signed("ok", 20);
  cert.signed("refused", 30, "PERMISSION_DENIED");
  cert.signed("refused", 40, "PERMISSION_DENIED");
  expect(agent.certificate.attempts.samples()).toEqual([
    { labels: ["ok", ""], value: 1 },
    { labels: ["refused", "PERMISSION_DENIED"], value: 2 },
  ]);
  const { requests, failures, retries, latencyMs, durationSeconds } = agent.csr;
  expect([requests, failures, retries, latencyMs].map((counter) => counter.value("csr"))).toEqual([3, 2, 1, 90]);
  expect(durationSeconds.snapshot()).toMatchObject({ count: 3 });
  expect(durationSeconds.snapshot().sum).toBeCloseTo(0.09);
});
