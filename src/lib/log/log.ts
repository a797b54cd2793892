// SPDX-License-Identifier: Apache-2.0

export type LogLevel = "debug" | "info" | "warn" | "error";

/** Facts beside the constant message. Durations carry their unit in the name; secrets are never given to the log. */
export type LogFields = Readonly<Record<string, unknown>>;

/** What a module writes its log with. The message is a constant; what varies is a field. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger for one module; its lines carry `scope`. */
  scope(scope: string): Logger;
}

/** One line of the log before it has a form. */
export interface LogRecord {
  readonly timeMs: number;
  readonly level: LogLevel;
  /** Empty for the default scope. */
  readonly scope: string;
  readonly message: string;
  readonly fields: LogFields;
}

/** Where records go: written in a form, or kept until the writer is loaded. */
export type LogSink = (record: LogRecord) => void;

export type LogThreshold = LogLevel | "none";

/** The least level written, for each scope; `default` is that of the scopes not named. */
export type LogLevels = ReadonlyMap<string, LogThreshold>;

const rank: Readonly<Record<LogThreshold, number>> = { debug: 0, info: 1, warn: 2, error: 3, none: 4 };

/** A logger that hands the records of its levels to a sink. */
export function createLogger(sink: LogSink, now: () => number, levels: () => LogLevels, scope = ""): Logger {
  const write = (level: LogLevel, message: string, fields: LogFields = {}): void => {
    const threshold = levels().get(scope === "" ? "default" : scope) ?? levels().get("default") ?? "info";
    if (rank[level] >= rank[threshold]) sink({ timeMs: now(), level, scope, message, fields });
  };
  return {
    debug: (message, fields) => {
      write("debug", message, fields);
    },
    info: (message, fields) => {
      write("info", message, fields);
    },
    warn: (message, fields) => {
      write("warn", message, fields);
    },
    error: (message, fields) => {
      write("error", message, fields);
    },
    scope: (name) => createLogger(sink, now, levels, name),
  };
}
