// SPDX-License-Identifier: Apache-2.0
import { defaultLineLimit } from "./log-limits.ts";
import { type LogFormat, renderRecord } from "./log-format.ts";
import type { LogRecord, LogSink } from "./log.ts";

/**
 * The log of a command that is no sidecar, in the form of the agent's log and without secrets. The agent writes its lines
 * itself: pino would cost each pod's start 66 kB of code (ADR 0010).
 * @param descriptor where pino writes
 */
export async function createPinoSink(format: LogFormat, descriptor = 2): Promise<LogSink> {
  const { pino } = await import("pino");
  const logger = pino(
    { level: "debug", base: null, timestamp: false },
    pino.destination({ dest: descriptor, sync: true }),
  );
  const render = (record: LogRecord): string => renderRecord(record, format, defaultLineLimit);
  Object.assign(logger, { [pino.symbols.asJsonSym]: render });
  return (record) => {
    logger[record.level](record);
  };
}
