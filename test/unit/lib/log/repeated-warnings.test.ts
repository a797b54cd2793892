// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { RepeatedWarnings } from "../../../../src/lib/log/repeated-warnings.ts";
import { FakeClock } from "../../../support/fake-clock.ts";
import { testLog } from "../../../support/test-log.ts";

test("C21: each warning is logged at most once a minute", async () => {
  const { log, records } = testLog();
  const clock = new FakeClock();
  const warnings = new RepeatedWarnings(log, clock);
  for (let second = 0; second < 61; second++) {
    warnings.warn("no token", { second });
    warnings.warn("no encryption");
    await clock.advance(1_000);
  }
  expect(records.map(({ message, fields }) => [message, fields["second"]])).toEqual([
    ["no token", 0],
    ["no encryption", undefined],
    ["no token", 60],
    ["no encryption", undefined],
  ]);
});
