// SPDX-License-Identifier: Apache-2.0
import type { LogFields, Logger, LogLevel } from "../lib/log/log.ts";
import { type CrashReportConfig, type FailedExit, type RecordedEvent, writeCrashReport } from "./crash-report.ts";

/** Keeps the last events of the agent in memory, for the crash report. */
export interface FlightRecorder {
  /** A logger that passes everything on, and records events of level info and above and those of SDS and xDS. */
  logger(log: Logger): Logger;
  /** Records an event that is not logged. */
  record(message: string, fields?: LogFields): void;
  /**
   * Writes the crash report, unless the exit code is 0.
   * @returns a description of each failed write; never throws
   */
  writeCrashReport(exit: FailedExit): readonly string[];
}

const capacity = 500;

/** @param now wall clock in milliseconds */
export function createFlightRecorder(config: CrashReportConfig, now: () => number): FlightRecorder {
  const ring = new EventRing(capacity);
  const record: RecordEvent = (level, scope, message, fields) => {
    ring.add({ timeMs: now(), level, text: renderEvent(scope, message, fields) });
  };
  return {
    logger: (log) => recordingLogger(log, record, ""),
    record(message, fields = {}) {
      record("info", "", message, fields);
    },
    writeCrashReport(exit) {
      if (exit.code === 0) return [];
      return writeCrashReport(config, { exit, events: ring.events(), forgotten: ring.forgotten, nowMs: now() });
    },
  };
}

type RecordEvent = (level: LogLevel, scope: string, message: string, fields: LogFields) => void;

/** Scopes whose debug lines are recorded too: they are few, and show what Envoy received before a crash. */
const debugScopes: ReadonlySet<string> = new Set(["sds", "xdsproxy"]);

function recordingLogger(log: Logger, record: RecordEvent, scope: string): Logger {
  const both =
    (level: LogLevel) =>
    (message: string, fields: LogFields = {}): void => {
      log[level](message, fields);
      record(level, scope, message, fields);
    };
  return {
    debug: (message, fields = {}) => {
      log.debug(message, fields);
      if (debugScopes.has(scope)) record("debug", scope, message, fields);
    },
    info: both("info"),
    warn: both("warn"),
    error: both("error"),
    scope: (name) => recordingLogger(log.scope(name), record, name),
  };
}

/** The last events, at most `capacity`. Each takes less than a kilobyte. */
export class EventRing {
  readonly #events: RecordedEvent[] = [];
  readonly #capacity: number;
  #next = 0;
  #forgotten = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  add(event: RecordedEvent): void {
    if (this.#events.length < this.#capacity) {
      this.#events.push(event);
      return;
    }
    this.#events[this.#next] = event;
    this.#next = (this.#next + 1) % this.#capacity;
    this.#forgotten++;
  }

  /** Oldest first. */
  events(): readonly RecordedEvent[] {
    return [...this.#events.slice(this.#next), ...this.#events.slice(0, this.#next)];
  }

  /** The number of events that newer ones have replaced. */
  get forgotten(): number {
    return this.#forgotten;
  }
}

const maxTextLength = 400;

/** An event as one line, `scope: message name=value`, cut if it is too long for the ring. */
export function renderEvent(scope: string, message: string, fields: LogFields): string {
  const facts = Object.entries(fields).map(([name, value]) => ` ${name}=${renderValue(value)}`);
  const text = `${scope === "" ? "" : `${scope}: `}${message}${facts.join("")}`.replaceAll(/\s*[\r\n]+\s*/g, " ");
  return text.length <= maxTextLength ? text : `${text.slice(0, maxTextLength - 1)}…`;
}

function renderValue(value: unknown): string {
  if (typeof value === "string") return value;
  try {
    return value === undefined ? "undefined" : JSON.stringify(value);
  } catch {
    return "?";
  }
}
