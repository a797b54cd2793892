// SPDX-License-Identifier: Apache-2.0
import { closeSync, openSync } from "node:fs";
import { systemClock } from "../async/clock.ts";
import { describeError } from "../errors.ts";
import { LineOutput, openWithoutWait } from "./line-output.ts";
import { type LogFormat, renderRecord } from "./log-format.ts";
import { defaultLineLimit, type LogBudgets } from "./log-limits.ts";
import type { LogSink } from "./log.ts";

/** Writes the log: each record at once, unless the reader is too slow. */
export interface LogWriter {
  readonly sink: LogSink;
  /** Opens the files again by their paths, after a rotation. @returns the files that stay as they are */
  reopen(): readonly LogReopenFailure[];
  /** From now on, what the log holds is counted there. */
  useBudgets(budgets: LogBudgets): void;
  /** Waits until everything is read, or the reader has stopped reading. Nothing may be written afterwards. */
  end(): Promise<void>;
}

/** A log file that cannot be opened again. The log is still written to the file that was open before. */
export interface LogReopenFailure {
  readonly file: string;
  readonly error: string;
}

export interface LogWriterOptions {
  readonly format: LogFormat;
  /** `stdout`, `stderr`, or paths of files to append to. */
  readonly targets: readonly string[];
}

export function createLogWriter(options: LogWriterOptions): LogWriter {
  const onLost = (lines: number): void => {
    const message = "log lines lost: the reader is too slow";
    sink({ timeMs: systemClock.now(), level: "warn", scope: "", message, fields: { lines } });
  };
  const outputs = options.targets.map((target) => new LineOutput(openTarget(target), onLost));
  let lineLimit = defaultLineLimit;
  const sink: LogSink = (record) => {
    const line = renderRecord(record, options.format, lineLimit);
    for (const output of outputs) output.write(line);
  };
  return {
    sink,
    reopen: () => outputs.flatMap((output, index) => reopenTarget(output, options.targets[index] ?? "")),
    useBudgets: (given) => {
      lineLimit = given.lineBytes;
      for (const output of outputs) output.useBudget(given.waitingBytes);
    },
    end: async () => {
      await Promise.all(outputs.map((output) => output.end()));
    },
  };
}

function reopenTarget(output: LineOutput, target: string): readonly LogReopenFailure[] {
  if (target === "stdout" || target === "stderr") return [];
  try {
    closeSync(output.replaceDescriptor(openTarget(target)));
    return [];
  } catch (error) {
    return [{ file: target, error: describeError(error) }];
  }
}

function openTarget(target: string): number {
  if (target === "stdout") return openWithoutWait(1);
  if (target === "stderr") return openWithoutWait(2);
  return openSync(target, "a", 0o600);
}
