// SPDX-License-Identifier: Apache-2.0
import { openSync } from "node:fs";
import { systemClock } from "../async/clock.ts";
import { LineOutput, openWithoutWait } from "./line-output.ts";
import { type LogFormat, renderRecord } from "./log-format.ts";
import type { LogRecord, LogSink } from "./log.ts";

/**
 * Writes the log through pino. Records are kept until `load` has loaded it, because loading would delay Envoy's start.
 */
export interface LogWriter {
  readonly sink: LogSink;
  /** Loads pino and writes the kept records. Further calls wait for the first. */
  load(): Promise<void>;
  /** Writes the kept records without loading anything, for an exit that cannot wait. */
  flush(): void;
  /** Waits until everything is read, or the reader has stopped reading. Nothing may be written afterwards. */
  end(): Promise<void>;
}

export interface LogWriterOptions {
  readonly format: LogFormat;
  /** `stdout`, `stderr`, or paths of files to append to. */
  readonly targets: readonly string[];
}

const mostKept = 10_000;

export function createLogWriter(options: LogWriterOptions): LogWriter {
  const onLost = (lines: number): void => {
    const message = "log lines lost: the reader is too slow";
    sink({ timeMs: systemClock.now(), level: "warn", scope: "", message, fields: { lines } });
  };
  const outputs = options.targets.map((target) => new LineOutput(openTarget(target), onLost));
  const write = (line: string): void => {
    for (const output of outputs) output.write(line);
  };
  const kept: LogRecord[] = [];
  let sink: LogSink = (record) => {
    if (kept.length < mostKept) kept.push(record);
  };
  let loading: Promise<void> | undefined;
  const load = async (): Promise<void> => {
    const loaded = await loadPino(options.format, write);
    for (const record of kept.splice(0)) loaded(record);
    sink = loaded;
  };
  return {
    sink: (record) => {
      sink(record);
    },
    load: () => (loading ??= load()),
    flush: () => {
      for (const record of kept.splice(0)) write(renderRecord(record, options.format));
    },
    end: async () => {
      await Promise.all(outputs.map((output) => output.end()));
    },
  };
}

/** pino with the serialiser that `flush` uses too, so that both write the same line and redact the same fields. */
async function loadPino(format: LogFormat, write: (line: string) => void): Promise<LogSink> {
  const { pino } = await import("pino");
  const logger = pino({ level: "debug", base: null, timestamp: false }, { write });
  Object.assign(logger, { [pino.symbols.asJsonSym]: (record: LogRecord) => renderRecord(record, format) });
  return (record) => {
    logger[record.level](record);
  };
}

function openTarget(target: string): number {
  if (target === "stdout") return openWithoutWait(1);
  if (target === "stderr") return openWithoutWait(2);
  return openSync(target, "a", 0o600);
}
