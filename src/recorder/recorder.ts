// SPDX-License-Identifier: Apache-2.0
import { closeSync, constants, openSync, readdirSync, rmSync, writeSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomicSync } from "../lib/fs/atomic-file.ts";
import { makeDirectorySync } from "../lib/fs/make-directory.ts";
import type { LogFields, Logger, LogLevel } from "../lib/log/log.ts";
import { type AgentEnd, renderAccount, renderTerminationMessage } from "./account.ts";
import { EventRing, renderEvent } from "./event-ring.ts";
import type { RecorderConfig } from "./recorder-config.ts";

/** Keeps the last events of the agent's life in memory, and leaves an account of them when it ends badly. */
export interface Recorder {
  /** A logger that passes everything on and keeps what is of level info or above, and what tells of secrets and xDS. */
  logger(log: Logger): Logger;
  /** Keeps an event that is not in the log. */
  record(message: string, fields?: LogFields): void;
  /**
   * Writes the account of an abnormal end; an end with code 0 leaves none. Synchronous, because the process is ending.
   * @returns what could not be written, in words; never throws
   */
  leaveAccount(end: AgentEnd): readonly string[];
}

const capacity = 500;
const keptAccounts = 10;

/** @param now wall clock in milliseconds */
export function createRecorder(config: RecorderConfig, now: () => number): Recorder {
  const ring = new EventRing(capacity);
  const keep = (level: LogLevel, scope: string, message: string, fields: LogFields): void => {
    ring.add({ timeMs: now(), level, text: renderEvent(scope, message, fields) });
  };
  return {
    logger: (log) => recordingLogger(log, keep, ""),
    record(message, fields = {}) {
      keep("info", "", message, fields);
    },
    leaveAccount(end) {
      if (end.code === 0) return [];
      const failures: string[] = [];
      const attempt = (what: string, write: () => void): void => {
        try {
          write();
        } catch (error) {
          failures.push(`${what}: ${error instanceof Error ? error.message : String(error)}`);
        }
      };
      const { terminationMessagePath: path, directory } = config;
      if (path !== undefined && path !== "") {
        attempt(path, () => {
          writeMessage(path, renderTerminationMessage(end, ring.events(), now()));
        });
      }
      if (directory !== undefined) {
        attempt(directory, () => {
          writeAccount(
            directory,
            renderAccount(end, ring.events(), { nowMs: now(), forgotten: ring.forgotten }),
            now(),
          );
        });
      }
      return failures;
    },
  };
}

type Keep = (level: LogLevel, scope: string, message: string, fields: LogFields) => void;

/** Scopes whose lines of level debug are few, and worth more after an end than before. */
const toldScopes: ReadonlySet<string> = new Set(["sds", "xdsproxy"]);

function recordingLogger(log: Logger, keep: Keep, scope: string): Logger {
  const both =
    (level: LogLevel) =>
    (message: string, fields: LogFields = {}): void => {
      log[level](message, fields);
      keep(level, scope, message, fields);
    };
  return {
    debug: (message, fields = {}) => {
      log.debug(message, fields);
      if (toldScopes.has(scope)) keep("debug", scope, message, fields);
    },
    info: both("info"),
    warn: both("warn"),
    error: both("error"),
    scope: (name) => recordingLogger(log.scope(name), keep, name),
  };
}

/** Kubernetes mounts the file; below /dev it is therefore never made, only filled. It is written in place. */
function writeMessage(path: string, message: string): void {
  const make = path.startsWith("/dev/") ? 0 : constants.O_CREAT;
  let descriptor: number;
  try {
    descriptor = openSync(path, constants.O_WRONLY | constants.O_TRUNC | constants.O_NONBLOCK | make, 0o644);
  } catch (error) {
    if (make === 0 && error instanceof Error && "code" in error && error.code === "ENOENT") return;
    throw error;
  }
  try {
    writeSync(descriptor, message);
  } finally {
    closeSync(descriptor);
  }
}

function writeAccount(directory: string, account: string, nowMs: number): void {
  makeDirectorySync(directory, 0o700);
  const name = `attache-${new Date(nowMs).toISOString().replaceAll(":", "")}-${String(process.pid)}.json`;
  writeFileAtomicSync(join(directory, name), account, 0o600);
  const accounts = readdirSync(directory).filter((file) => /^attache-.*\.json$/.test(file));
  for (const old of accounts.sort().slice(0, -keptAccounts)) rmSync(join(directory, old), { force: true });
}
