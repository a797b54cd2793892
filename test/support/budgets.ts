// SPDX-License-Identifier: Apache-2.0
import { createBudgets } from "../../src/lib/budget-set.ts";
import type { HostLimits } from "../../src/lib/host-limits.ts";
import { type BudgetName, type Budgets, limits } from "../../src/model/limits.ts";

/** A pod with a memory limit of 512 MiB, as on a large node. */
export const testHost: HostLimits = { memoryBytes: 512 * 2 ** 20, heapBytes: 48 * 2 ** 20, openFiles: 1_048_512 };

/** The budgets of the agent; `sizes` replaces those of the table. */
export function testBudgets(sizes: Partial<Record<BudgetName, number>> = {}, host = testHost): Budgets {
  return createBudgets(limits, host, { sizes });
}
