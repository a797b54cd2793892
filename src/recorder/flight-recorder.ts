// SPDX-License-Identifier: Apache-2.0
import type { LogFields, Logger, LogLevel } from "../lib/log/log.ts";
import type { CrashReportConfig, FailedExit, RecordedEvent } from "./crash-report.ts";
import type { AbortWatch, EngineAbort } from "./engine-abort.ts";
import type { Budget } from "../lib/budget.ts";
import { escapeControls } from "../lib/printable-text.ts";
import type { Budgets } from "../model/limits.ts";
import { recorderSizes } from "../model/limits/sizes.ts";
import { cutToBytes, oneLine } from "../lib/trim.ts";

/** Keeps the last events of the agent in memory, for the crash report. */
export interface FlightRecorder {
  /** A logger that passes everything on, and records events of level info and above and those of SDS and xDS. */
  logger(log: Logger): Logger;
  /** From now on, what the recorder keeps is counted there. */
  useBudgets(budgets: Budgets): void;
  /** The last warnings and errors, newest first. */
  problems(): readonly LoggedProblem[];
  /** All that is recorded, oldest first, and how many older events newer ones have replaced. */
  events(): RecordedEvents;
  /** Records an event that is not logged. */
  record(message: string, fields?: LogFields): void;
  /**
   * Prepares for an end that leaves no time to write a crash report: the engine aborts, or the agent is killed.
   * @param directory for the engine's report
   * @returns the abort of the previous run, once
   * @throws the system's error when the directory cannot be written
   */
  prepareForAbort(directory: string): Promise<EngineAbort | undefined>;
  /**
   * Writes the crash report; after exit code 0, removes what `prepareForAbort` has written. What writes it is loaded only
   * then.
   * @returns a description of each failed write; never throws
   */
  writeCrashReport(exit: FailedExit): Promise<readonly string[]>;
}

export interface RecordedEvents {
  readonly events: readonly RecordedEvent[];
  readonly forgotten: number;
}

/** A warning or an error of the log. */
export interface LoggedProblem {
  readonly atMs: number;
  readonly level: "warn" | "error";
  /** Empty for the default scope. */
  readonly scope: string;
  /** One line: the message and its fields. */
  readonly text: string;
}

/** @param now wall clock in milliseconds */
export function createFlightRecorder(config: CrashReportConfig, now: () => number): FlightRecorder {
  const ring = new EventRing(recorderSizes.events);
  // of their own: in a busy agent other events replace them within seconds
  const problems = new EventRing(recorderSizes.problems);
  let sizes: Readonly<Record<"eventBytes" | "reports", number>> = recorderSizes;
  const record: RecordEvent = (level, scope, message, fields) => {
    const event = { timeMs: now(), level, scope, text: renderEvent(scope, message, fields, sizes.eventBytes) };
    ring.add(event);
    if (level === "warn" || level === "error") problems.add(event);
  };
  let watch: AbortWatch | undefined;
  let hasNotice = false;
  return {
    logger: (log) => recordingLogger(log, record, ""),
    problems: () => problems.events().flatMap(problemOf).toReversed(),
    events: () => ({ events: ring.events(), forgotten: ring.forgotten }),
    useBudgets(budgets) {
      ring.useBudget(budgets.of("recorder-events"));
      sizes = {
        eventBytes: budgets.of("recorder-event-bytes").size,
        reports: budgets.of("recorder-reports").size,
      };
    },
    record(message, fields = {}) {
      record("info", "", message, fields);
    },
    async prepareForAbort(directory) {
      const { watchForAbort } = await import("./engine-abort.ts");
      const { writeAbortNotice } = await import("./termination-message.ts");
      try {
        watch = watchForAbort(directory);
      } finally {
        hasNotice = true;
        writeAbortNotice(config, watch?.path);
      }
      return watch?.previous;
    },
    async writeCrashReport(exit) {
      watch?.[Symbol.dispose]();
      if (exit.code === 0) {
        if (!hasNotice) return [];
        const { clearTerminationMessage } = await import("./termination-message.ts");
        return clearTerminationMessage(config);
      }
      const { writeCrashReport } = await import("./crash-report.ts");
      const { forgotten } = ring;
      const report = { exit, events: ring.events(), forgotten, nowMs: now(), mostReports: sizes.reports };
      return writeCrashReport(config, report);
    },
  };
}

function problemOf({ timeMs, level, scope = "", text }: RecordedEvent): readonly LoggedProblem[] {
  if (level !== "warn" && level !== "error") return [];
  return [{ atMs: timeMs, level, scope, text: scope === "" ? text : text.slice(scope.length + ": ".length) }];
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
  #budget: Budget | undefined;
  #next = 0;
  #forgotten = 0;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  /** From now on, events are counted there. A full ring is no rejection: new events replace old ones. */
  useBudget(budget: Budget): void {
    this.#budget = budget;
    budget.charge(this.#events.length);
  }

  add(event: RecordedEvent): void {
    if (this.#events.length < this.#capacity) {
      this.#events.push(event);
      this.#budget?.charge(1);
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

/** An event as one line, `scope: message name=value`, without control characters and at most as long as given. */
export function renderEvent(scope: string, message: string, fields: LogFields, maxBytes: number): string {
  const given = Object.entries(fields).filter(([, value]) => value !== undefined);
  const facts = given.map(([name, value]) => ` ${name}=${renderValue(value)}`);
  const text = oneLine(`${scope === "" ? "" : `${scope}: `}${message}${facts.join("")}`);
  return cutToBytes(escapeControls(text.slice(0, maxBytes + 1)), maxBytes);
}

function renderValue(value: unknown): string {
  if (typeof value === "string") return value;
  try {
    return JSON.stringify(value);
  } catch {
    return "?";
  }
}
