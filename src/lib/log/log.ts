// SPDX-License-Identifier: Apache-2.0

export type LogLevel = "debug" | "info" | "warn" | "error";

/** Facts beside the constant message. Durations have their unit in the name. Secrets are never logged. */
export type LogFields = Readonly<Record<string, unknown>>;

/** A module's log. The message is a constant; what varies is a field. */
export interface Logger {
  debug(message: string, fields?: LogFields): void;
  info(message: string, fields?: LogFields): void;
  warn(message: string, fields?: LogFields): void;
  error(message: string, fields?: LogFields): void;
  /** A logger for one module; its lines carry `scope`. */
  scope(scope: string): Logger;
}

/** One line of the log before it is formatted. */
export interface LogRecord {
  readonly timeMs: number;
  readonly level: LogLevel;
  /** Empty for the default scope. */
  readonly scope: string;
  readonly message: string;
  readonly fields: LogFields;
}

/** Takes records: writes them, or keeps them until the writer is loaded. */
export type LogSink = (record: LogRecord) => void;

/** In ascending order. */
const thresholds = ["debug", "info", "warn", "error", "none"] as const;

export type LogThreshold = (typeof thresholds)[number];

/** The lowest level that is written, by scope; `default` is for all other scopes. */
export type LogLevels = ReadonlyMap<string, LogThreshold>;

/** A logger that passes records of sufficient level to a sink. */
export function createLogger(sink: LogSink, now: () => number, levels: () => LogLevels, scope = ""): Logger {
  const write = (level: LogLevel, message: string, fields: LogFields = {}): void => {
    const threshold = levels().get(scope === "" ? "default" : scope) ?? levels().get("default") ?? "info";
    if (thresholds.indexOf(level) >= thresholds.indexOf(threshold))
      sink({ timeMs: now(), level, scope, message, fields });
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

/** The log's levels: the configured ones, and overrides of them at run time. */
export class LogLevelSwitch {
  readonly #configured: LogLevels;
  #inForce: LogLevels;
  readonly #overrides = new Map<string, LogThreshold>();

  constructor(configured: LogLevels) {
    this.#configured = configured;
    this.#inForce = configured;
  }

  /** By scope; `default` is that of the scopes not named. */
  read(): LogLevels {
    return this.#inForce;
  }

  /** Overrides a scope's configured level. Undefined, or a text that is no level, removes the override. */
  override(scope: string, level: string | undefined): void {
    const threshold = thresholds.find((known) => known === level);
    if (threshold === undefined) this.#overrides.delete(scope);
    else this.#overrides.set(scope, threshold);
    this.#inForce = new Map([...this.#configured, ...this.#overrides]);
  }
}
