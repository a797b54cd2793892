// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import type { BudgetSpec, SpentBudget } from "../../../src/lib/budget.ts";
import { createBudgets } from "../../../src/lib/budget-set.ts";
import { BudgetLog } from "../../../src/lib/budget-log.ts";
import { testHost } from "../../support/budgets.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { testLog } from "../../support/test-log.ts";

const common = { whenSpent: "reject", owner: "test", meaning: "What a test takes." } as const;
const table = {
  queries: { ...common, unit: "items", scope: "process", size: () => 3 },
  "queries-of-connection": { ...common, unit: "items", scope: "connection", size: () => 2, within: "queries" },
  resets: { ...common, unit: "items", scope: "connection", size: () => 2, windowMs: 1_000 },
  "name-bytes": { ...common, unit: "bytes", scope: "single item", size: () => 10, setting: "NAMES" },
} as const satisfies Record<string, BudgetSpec>;

const create = (onSpent?: (budget: SpentBudget) => void) =>
  createBudgets(table, testHost, onSpent === undefined ? {} : { onSpent });

describe("a budget of the process", () => {
  test("gives what fits, and counts what does not", () => {
    const budgets = create();
    const queries = budgets.of("queries");
    expect([queries.tryTake(), queries.tryTake(2), queries.tryTake()]).toEqual([true, true, false]);
    expect(queries.text).toBe("limit queries of 3 items is reached");
    expect(queries.spentError()).toMatchObject({ code: "AGENT_BUDGET_SPENT", budget: "queries", size: 3 });
    queries.release(2);
    expect(budgets.facts()[0]).toMatchObject({ name: "queries", size: 3, used: 1, peak: 3, spentTotal: 1 });
  });

  test("is never given back more than was taken", () => {
    const queries = create().of("queries");
    queries.tryTake();
    queries.release(5);
    expect(queries.used).toBe(0);
  });

  test("is given back by the lease, once", () => {
    const queries = create().of("queries");
    const lease = queries.take(2);
    expect(queries.take(2)).toBeUndefined();
    lease?.[Symbol.dispose]();
    lease?.[Symbol.dispose]();
    expect(queries.used).toBe(0);
  });

  test("counts what is there already, and wakes who waits until something is free", async () => {
    const queries = create().of("queries");
    expect([queries.charge(2), queries.charge(2)]).toEqual([true, false]);
    let isFree = false;
    const waiting = queries.untilFree(new AbortController().signal).then(() => {
      isFree = true;
    });
    queries.release(1);
    await Promise.resolve();
    expect(isFree).toBe(false);
    queries.release(1);
    await waiting;
    expect(queries.used).toBe(2);
  });

  test("ends the wait with the reason of the signal", async () => {
    const queries = create().of("queries");
    queries.charge(3);
    const stop = new AbortController();
    const waiting = queries.untilFree(stop.signal);
    stop.abort(new Error("stopped"));
    await expect(waiting).rejects.toThrow("stopped");
  });
});

describe("a budget of each connection", () => {
  test("limits the connection, and all together through the budget of the process", () => {
    const budgets = create();
    const each = budgets.of("queries-of-connection");
    const [first, second] = [each.child(), each.child()];
    expect([first.tryTake(), first.tryTake(), first.tryTake()]).toEqual([true, true, false]);
    expect(first.text).toContain("queries-of-connection of 2");
    expect([second.tryTake(), second.tryTake()]).toEqual([true, false]);
    expect(second.text).toContain("queries of 3");
    expect(second.spentError().budget).toBe("queries");
    const facts = budgets.facts();
    expect(facts[0]).toMatchObject({ used: 3, spentTotal: 1 });
    expect(facts[1]).toMatchObject({ used: 2, peak: 2, spentTotal: 1 });
  });

  test("gives all back when the connection closes", () => {
    const budgets = create();
    const connection = budgets.of("queries-of-connection").child();
    connection.tryTake(2);
    connection[Symbol.dispose]();
    expect(budgets.facts().map(({ used }) => used)).toEqual([0, 0, 0, 0]);
  });

  test("is taken from by connections only", () => {
    const each = create().of("queries-of-connection");
    expect(() => each.tryTake()).toThrow("child()");
  });

  test("of a rate is free again after its time", () => {
    const resets = create().of("resets").child();
    expect([10, 20, 30, 1_011, 1_012].map((ms) => resets.tryTakeAt(ms))).toEqual([true, true, false, true, true]);
  });
});

test("a limit on one thing keeps nothing", () => {
  const budgets = create();
  const names = budgets.of("name-bytes");
  expect([names.admits(10), names.admits(11), names.admits(10)]).toEqual([true, false, true]);
  expect(budgets.facts()[3]).toMatchObject({ used: 0, peak: 10, spentTotal: 1 });
});

test("a setting replaces the computed size", () => {
  expect(createBudgets(table, testHost, { sizes: { queries: 7 } }).of("queries").size).toBe(7);
});

test("the first rejection is a warning, later ones are counted once a minute, and the end is reported", async () => {
  const clock = new FakeClock();
  const { log, records } = testLog();
  await using budgetLog = new BudgetLog(log, clock);
  const names = create(budgetLog.onSpent).of("name-bytes");
  for (let count = 0; count < 5; count++) names.admits(11);
  expect(records).toMatchObject([
    {
      level: "warn",
      message: "budget is spent",
      fields: { budget: "name-bytes", size: 10, unit: "bytes", whenSpent: "reject", setting: "NAMES" },
    },
  ]);
  await clock.advance(60_000);
  await clock.advance(60_000);
  expect(records.slice(1)).toMatchObject([
    { level: "warn", message: "budget is still spent", fields: { rejections: 4 } },
    { level: "info", message: "budget is no longer spent" },
  ]);
  names.admits(11);
  expect(records[3]).toMatchObject({ level: "warn", message: "budget is spent" });
});
