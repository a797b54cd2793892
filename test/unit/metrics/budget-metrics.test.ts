// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { createTestMetrics } from "../../support/agent-metrics.ts";
import { testBudgets } from "../../support/budgets.ts";

test("a budget has its size, use, peak and rejections as metrics, from its first use on", () => {
  const budgets = testBudgets({ "dns-queries": 2 });
  const { exposed } = createTestMetrics({ budgets: () => budgets.facts() });
  const values = (name: string) => exposed.find((metric) => metric.name === `attache_budget_${name}`);
  const samples = (name: string) => {
    const metric = values(name);
    return metric === undefined || metric.kind === "histogram" ? undefined : metric.samples();
  };
  expect(samples("size")).toEqual([]);
  const queries = budgets.of("dns-queries");
  for (let count = 0; count < 3; count++) queries.tryTake();
  queries.release();
  const read = ["size", "used", "peak", "spent_total"].map((name) => samples(name));
  expect(read).toEqual([2, 1, 2, 1].map((value) => [{ labels: ["dns-queries"], value }]));
});
