// SPDX-License-Identifier: Apache-2.0
import { createLogger, type Logger, type LogRecord } from "../../src/lib/log/log.ts";

/** A logger that keeps its records, and the records. */
export function testLog(): { readonly log: Logger; readonly records: LogRecord[] } {
  const records: LogRecord[] = [];
  const levels = new Map([["default", "debug" as const]]);
  const log = createLogger(
    (record) => records.push(record),
    () => Date.now(),
    () => levels,
  );
  return { log, records };
}
