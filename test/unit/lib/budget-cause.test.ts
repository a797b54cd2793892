// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { causeOf, describeFewFiles } from "../../../src/lib/budget-cause.ts";
import { createBudgets } from "../../../src/lib/budget-set.ts";
import { BudgetLog } from "../../../src/lib/budget-log.ts";
import { limits } from "../../../src/model/limits.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { testLog } from "../../support/test-log.ts";

const mib = 1024 * 1024;
const small = { memoryBytes: 48 * mib, heapBytes: 18 * mib, openFiles: 1 };
const large = { memoryBytes: 65_536 * mib, heapBytes: 48 * mib, openFiles: 1_000_000 };

function causeOn(name: keyof typeof limits, host: typeof small, size?: number) {
  return causeOf({ spec: limits[name], size: size ?? createBudgets(limits, host).of(name).size }, host);
}

test("a budget that follows from a limit of the machine says which, and what to do", () => {
  expect(causeOn("container-memory-bytes", small)).toEqual({
    cause: "memory limit of 48 MiB",
    advice: "raise the container's memory limit",
  });
  expect(causeOn("status-connections", small)).toEqual({
    cause: "limit of 65 open files",
    advice: "raise the hard limit of open files (LimitNOFILE, ulimit -Hn) to 4096 at least",
  });
  expect(causeOn("status-connections", large)).toBeUndefined();
  expect(causeOn("status-probe-connections", small)).toBeUndefined();
  expect(causeOn("status-connections", small, 7)).toBeUndefined();
});

test("the log of a spent budget has cause and advice", async () => {
  const { log, records } = testLog();
  await using budgetLog = new BudgetLog(log, new FakeClock(), small);
  const budget = createBudgets(limits, small, budgetLog).of("container-memory-bytes");
  budget.charge(budget.size + 1);
  expect(records).toMatchObject([{ message: "budget is spent", fields: { cause: "memory limit of 48 MiB" } }]);
});

test("few open files are described", () => {
  expect(describeFewFiles({ ...small, openFiles: 192 })).toMatchObject({ limit: 256, needed: 512 });
  expect(describeFewFiles({ ...small, openFiles: 960 })).toBeUndefined();
});
