// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { CauseLog } from "../../../../src/lib/log/cause-log.ts";
import { testBudgets } from "../../../support/budgets.ts";
import { FakeClock } from "../../../support/fake-clock.ts";
import { testLog } from "../../../support/test-log.ts";

test("a cause that repeats has few lines a minute, and the next line has the number of those left out", async () => {
  const { log, records } = testLog();
  const clock = new FakeClock();
  const lines = testBudgets({ "log-lines-of-cause": 2 }).of("log-lines-of-cause");
  const one = new CauseLog(log, lines.child(), clock);
  for (let time = 0; time < 1_000; time++) one.write("warn", "target failed", { target: "a" });
  new CauseLog(log, lines.child(), clock).write("info", "another cause");
  expect(records.map(({ message }) => message)).toEqual(["target failed", "target failed", "another cause"]);
  await clock.advance(60_000);
  one.write("warn", "target failed", { target: "a" });
  expect(records.at(-1)?.fields).toEqual({ target: "a", leftOut: 998 });
  one.write("warn", "target failed", { target: "a" });
  expect(records.at(-1)?.fields).toEqual({ target: "a" });
});
