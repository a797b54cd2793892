// SPDX-License-Identifier: Apache-2.0
import { openSync } from "node:fs";
import { systemClock } from "../async/clock.ts";
import { type LogFormat, type LogLine, renderLogLevel, renderLogTime, renderTextLine } from "./log-line.ts";
import { LineOutput, openWithoutWait } from "./line-output.ts";
import type { LogRecord, LogSink } from "./log.ts";

/**
 * Writes the log. Until `load` has been called and has ended, records are kept: the writer behind it costs time that
 * belongs to Envoy's start.
 */
export interface LogWriter {
  readonly sink: LogSink;
  /** Loads the writer, and writes what was kept. Further calls wait for the first. */
  load(): Promise<void>;
  /** Writes what is kept without loading anything; for an end that cannot wait. */
  flush(): void;
  /** Waits until everything is read, or nobody seems to read any more; nothing is to be written after it. */
  end(): Promise<void>;
}

export interface LogWriterOptions {
  readonly format: LogFormat;
  /** `stdout`, `stderr`, or paths that are appended to. */
  readonly targets: readonly string[];
}

const mostKept = 10_000;

export function createLogWriter(options: LogWriterOptions): LogWriter {
  const onLost = (lines: number): void => {
    const message = "lines of the log were lost: its reader was too slow";
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
    const { createPinoSink } = await import("./log-pino.ts");
    const loaded = createPinoSink(options.format, write);
    for (const record of kept.splice(0)) loaded(record);
    sink = loaded;
  };
  return {
    sink: (record) => {
      sink(record);
    },
    load: () => (loading ??= load()),
    flush: () => {
      for (const record of kept.splice(0)) {
        const line = toLine(record);
        write(options.format === "text" ? renderTextLine(line) : `${JSON.stringify(line)}\n`);
      }
    },
    end: async () => {
      await Promise.all(outputs.map((output) => output.end()));
    },
  };
}

function toLine(record: LogRecord): LogLine {
  return {
    level: renderLogLevel(record.level),
    time: renderLogTime(record.timeMs),
    ...(record.scope === "" ? {} : { scope: record.scope }),
    msg: record.message,
    ...record.fields,
  };
}

function openTarget(target: string): number {
  if (target === "stdout") return openWithoutWait(1);
  if (target === "stderr") return openWithoutWait(2);
  return openSync(target, "a", 0o600);
}
