// SPDX-License-Identifier: Apache-2.0
import { closeSync, openSync } from "node:fs";
import { systemClock } from "../async/clock.ts";
import type { Budget } from "../budget.ts";
import { describeError } from "../errors.ts";
import { LineOutput, openWithoutWait } from "./line-output.ts";
import { type LogFormat, renderRecord } from "./log-format.ts";
import { defaultLineLimit, type LogBudgets, logSizes } from "./log-limits.ts";
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
  const write = (line: string): void => {
    for (const output of outputs) output.write(line);
  };
  let budgets: LogBudgets | undefined;
  const render = (record: LogRecord): string =>
    renderRecord(record, options.format, budgets?.lineBytes ?? defaultLineLimit);
  const kept = new KeptRecords();
  let sink: LogSink = (record) => {
    kept.add(record);
  };
  let loading: Promise<void> | undefined;
  const load = async (): Promise<void> => {
    const loaded = await loadPino(render, write);
    for (const record of kept.take()) loaded(record);
    sink = loaded;
  };
  return {
    sink: (record) => {
      sink(record);
    },
    load: () => (loading ??= load()),
    flush: () => {
      for (const record of kept.take()) write(render(record));
    },
    reopen: () => outputs.flatMap((output, index) => reopenTarget(output, options.targets[index] ?? "")),
    useBudgets: (given) => {
      budgets = given;
      kept.useBudget(given.bufferedLines);
      for (const output of outputs) output.useBudget(given.waitingBytes);
    },
    end: async () => {
      await Promise.all(outputs.map((output) => output.end()));
    },
  };
}

/** Records from before the log writer is loaded; the oldest give way. */
class KeptRecords {
  #records: LogRecord[] = [];
  #lost = 0;
  #budget: Budget | undefined;

  useBudget(budget: Budget): void {
    this.#budget = budget;
    budget.charge(this.#records.length);
  }

  add(record: LogRecord): void {
    const fits = this.#budget?.tryTake() ?? this.#records.length < logSizes.bufferedLines;
    this.#records.push(record);
    if (fits) return;
    this.#records.shift();
    this.#lost++;
  }

  take(): readonly LogRecord[] {
    const records = this.#records;
    this.#records = [];
    this.#budget?.release(records.length);
    const [first] = records;
    if (first === undefined || this.#lost === 0) return records;
    const message = "log lines lost: too many before the log writer was loaded";
    const lost = { ...first, level: "warn", scope: "", message, fields: { lines: this.#lost } } as const;
    this.#lost = 0;
    return [lost, ...records];
  }
}

/** pino with the serialiser that `flush` uses too, so that both write the same line and redact the same fields. */
async function loadPino(render: (record: LogRecord) => string, write: (line: string) => void): Promise<LogSink> {
  const { pino } = await import("pino");
  const logger = pino({ level: "debug", base: null, timestamp: false }, { write });
  Object.assign(logger, { [pino.symbols.asJsonSym]: render });
  return (record) => {
    logger[record.level](record);
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
