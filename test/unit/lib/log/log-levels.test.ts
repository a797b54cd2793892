// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { createLogger, type LogRecord } from "../../../../src/lib/log/log.ts";
import { LogLevelSwitch } from "../../../../src/lib/log/log-levels.ts";

test("a level that is changed counts at once, and the configured one counts again afterwards", () => {
  const records: LogRecord[] = [];
  const levels = new LogLevelSwitch(new Map([["default", "info"]]));
  const log = createLogger(
    (record) => records.push(record),
    () => 0,
    () => levels.read(),
  ).scope("sds");
  log.debug("left out");
  levels.override("sds", "debug");
  log.debug("kept");
  levels.override("sds", undefined);
  log.debug("left out again");
  expect(records.map(({ message }) => message)).toEqual(["kept"]);
});

test("a word that is no level changes nothing", () => {
  const levels = new LogLevelSwitch(new Map([["default", "info"]]));
  levels.override("default", "loud");
  expect([...levels.read()]).toEqual([["default", "info"]]);
});
