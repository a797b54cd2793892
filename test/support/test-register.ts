// SPDX-License-Identifier: Apache-2.0
import type { Budget } from "../../src/lib/budget.ts";
import type { LogRecord } from "../../src/lib/log/log.ts";
import { OutageLog } from "../../src/lib/log/outage-log.ts";
import { Counter } from "../../src/lib/metrics.ts";
import { ConflictLog, type DeclaringPart, FamilyRegister } from "../../src/metrics/family-register.ts";
import { testBudgets } from "./budgets.ts";
import { FakeClock } from "./fake-clock.ts";
import { testLog } from "./test-log.ts";

export interface TestRegister {
  readonly register: FamilyRegister;
  readonly part: (label: string) => DeclaringPart;
  /** For one line of a body. */
  readonly line: Budget;
  readonly duplicates: Counter;
  readonly records: readonly LogRecord[];
}

/** The families of one response, with the budgets of the agent. */
export function createTestRegister(): TestRegister {
  const { log, records } = testLog();
  const budgets = testBudgets();
  const duplicates = new Counter({ name: "duplicates", help: "Duplicates." });
  const conflicts = new ConflictLog(new OutageLog(log, new FakeClock()), budgets.of("scrape-conflicts"));
  const register = new FamilyRegister({ duplicates, conflicts });
  const part = (label: string): DeclaringPart => ({
    label,
    families: budgets.of("scrape-families-of-target").child(),
    isTrusted: false,
  });
  return { register, part, line: budgets.of("scrape-line-bytes"), duplicates, records };
}
