// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import type { BudgetSpec } from "../../../src/lib/budget.ts";
import type { HostLimits } from "../../../src/lib/host-limits.ts";
import { type BudgetName, limits } from "../../../src/model/limits.ts";
import { renderLimitsPage } from "../../../src/model/limits/limits-page.ts";
import { testBudgets, testHost } from "../../support/budgets.ts";

const specs = Object.entries<BudgetSpec>(limits);
const isName = (name: string): name is BudgetName => name in limits;

test("docs/limits.md shows the table of budgets", () => {
  expect(readFileSync("docs/limits.md", "utf8")).toBe(renderLimitsPage());
});

test("every budget of a connection, stream or type counts into one of the process, if into any", () => {
  for (const [name, { scope, within }] of specs) {
    if (within === undefined) continue;
    expect(scope, name).not.toBe("process");
    expect(isName(within) ? limits[within].scope : undefined, name).toBe("process");
  }
});

test("a name and a meaning are one line each, and no budget is without size", () => {
  const least: HostLimits = { memoryBytes: 32 * 2 ** 20, heapBytes: 32 * 2 ** 20, openFiles: 1 };
  for (const [name, { meaning, size }] of specs) {
    expect(name).toMatch(/^[a-z0-9]+(-[a-z0-9]+)*$/);
    expect(meaning, name).toMatch(/^[A-Z].*\.$/);
    expect(size(least), name).toBeGreaterThan(0);
    expect(Number.isFinite(size(testHost)), name).toBe(true);
  }
});

test.each([256, 1_024, 4_096, 1_048_576])(
  "with %d open files, the budgets together leave the reserve alone",
  (files) => {
    const host = { ...testHost, openFiles: files - 64 };
    const budgets = testBudgets({}, host);
    const open = budgets.facts().reduce((sum, { spec, size }) => sum + (spec.openFiles ?? 0) * size, 0);
    expect(open).toBeLessThanOrEqual(host.openFiles);
  },
);
