// SPDX-License-Identifier: Apache-2.0
import { Budget, BudgetRow, type BudgetSpec, type SpentBudget } from "./budget.ts";
import type { HostLimits } from "./host-limits.ts";
import { type MemoryGuard, unlimitedMemory } from "./memory-guard.ts";

/** What a budget shows of itself. */
export interface BudgetFacts {
  readonly name: string;
  readonly spec: BudgetSpec;
  readonly size: number;
  /** Taken now; of a scope other than the process, by the one that has taken most. */
  readonly used: number;
  readonly peak: number;
  /** How often something did not fit. */
  readonly spentTotal: number;
}

/** The budgets of a table, by name. */
export interface BudgetSet<Name extends string> {
  of(name: Name): Budget;
  /** In the order of the table. */
  facts(): readonly BudgetFacts[];
  /** Whether there is memory for work that can be rejected, whatever the budgets say. */
  readonly memory: MemoryGuard;
}

export interface BudgetOptions<Name extends string> {
  /** Called at the first rejection of a budget; again only after its `settle`. */
  readonly onSpent?: (budget: SpentBudget) => void;
  /** Sizes from settings, in place of those that the table computes. */
  readonly sizes?: Partial<Readonly<Record<Name, number>>>;
  /** Makes the guard from budgets of the table. Default: memory is never short. */
  readonly guard?: (of: (name: Name) => Budget) => MemoryGuard;
}

/** @param limits of the host, from which the sizes follow */
export function createBudgets<Name extends string>(
  specs: Readonly<Record<Name, BudgetSpec>>,
  limits: HostLimits,
  { onSpent = () => undefined, sizes = {}, guard = () => unlimitedMemory }: BudgetOptions<Name> = {},
): BudgetSet<Name> {
  const rows = new Map<string, BudgetRow>();
  const budgets = new Map<string, Budget>();
  const given: Readonly<Record<string, number | undefined>> = sizes;
  for (const [name, spec] of Object.entries<BudgetSpec>(specs)) {
    rows.set(name, new BudgetRow(name, spec, given[name] ?? spec.size(limits), onSpent));
  }
  const budgetOf = (name: string): Budget => {
    const known = budgets.get(name);
    if (known !== undefined) return known;
    const row = rows.get(name);
    if (row === undefined) throw new Error(`no budget ${name}`);
    const { scope, within } = row.spec;
    const parent = within === undefined ? undefined : budgetOf(within);
    const budget = new Budget(row, scope === "process" ? row.size : -1, parent);
    budgets.set(name, budget);
    return budget;
  };
  return {
    of: budgetOf,
    memory: guard(budgetOf),
    facts: () =>
      [...rows.values()].map((row) => {
        const { name, spec, size, peak, spentTotal } = row;
        let used = budgetOf(name).used;
        for (const child of row.children) used = Math.max(used, child.used);
        return { name, spec, size, used, peak, spentTotal };
      }),
  };
}
