// SPDX-License-Identifier: Apache-2.0
import type { BudgetSet } from "../lib/budget-set.ts";
import { agentLimits } from "./limits/agent-limits.ts";
import { debugLimits } from "./limits/debug-limits.ts";
import { resourceLimits } from "./limits/resource-limits.ts";
import { servingLimits } from "./limits/serving-limits.ts";
import { socketLimits } from "./limits/socket-limits.ts";
import { subscriptionLimits } from "./limits/subscription-limits.ts";

/**
 * The budgets of the agent: everything that a peer can make grow. docs/limits.md is generated from this table
 * (`node scripts/limits-page.ts`). How budgets are used: lib/budget.ts
 */
export const limits = {
  ...servingLimits,
  ...debugLimits,
  ...socketLimits,
  ...subscriptionLimits,
  ...resourceLimits,
  ...agentLimits,
} as const;

export type BudgetName = keyof typeof limits;

/** What modules take from; `deps.budgets`. */
export type Budgets = BudgetSet<BudgetName>;
