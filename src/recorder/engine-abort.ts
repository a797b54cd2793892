// SPDX-License-Identifier: Apache-2.0
import { closeSync, constants, openSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { readTextFileSync } from "../lib/fs/bounded-read.ts";
import { isJsonObject, type JsonObject, parseJsonObject } from "../lib/json.ts";

const reportName = "attache-abort.json";
const lastReportName = "attache-abort.last.json";

/** How the engine aborted in an earlier run. */
export interface EngineAbort {
  /** Such as `Allocation failed - JavaScript heap out of memory`. */
  readonly reason: string;
  /** As the engine writes it, ISO 8601; empty if the report is incomplete. */
  readonly time: string;
  readonly heapBytes: number | undefined;
  /** Where the engine's report is. */
  readonly path: string;
}

/** Waits for an abort of the engine. Disposing it ends that: what follows is an orderly exit. */
export interface AbortWatch extends Disposable {
  /** Where the engine writes its report. */
  readonly path: string;
  /** The abort of the previous run that used this directory. It is returned once. */
  readonly previous: EngineAbort | undefined;
}

/**
 * Lets the engine write its report to a file when it aborts: out of memory, or a fatal error. The report has neither
 * environment variables nor network addresses, nor any value of the program; the launcher's flags leave them out.
 * @param directory exists, survives the process, and belongs to this user
 * @returns undefined if the engine would write the environment too
 * @throws the system's error when the directory cannot be written
 * Source: Node.js documentation, "Diagnostic report"
 */
export function watchForAbort(directory: string): AbortWatch | undefined {
  const { report } = process;
  if (!report.excludeEnv) return undefined;
  const path = join(directory, reportName);
  const previous = takeReport(directory);
  // created here, so that only this user can read what the engine writes
  closeSync(openSync(path, constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW, 0o600));
  Object.assign(report, { directory, filename: reportName, compact: true, reportOnFatalError: true });
  return {
    path,
    previous,
    [Symbol.dispose]() {
      report.reportOnFatalError = false;
      rmSync(path, { force: true });
    },
  };
}

/** Renames the report of the previous run, so that it is found once. */
function takeReport(directory: string): EngineAbort | undefined {
  const path = join(directory, reportName);
  const text = readText(path);
  if (text === undefined || text === "") {
    rmSync(path, { force: true });
    return undefined;
  }
  const kept = join(directory, lastReportName);
  renameSync(path, kept);
  return { ...parseAbort(text), path: kept };
}

/** What is missing in an incomplete report is left out. */
export function parseAbort(text: string): Pick<EngineAbort, "reason" | "time" | "heapBytes"> {
  const report = parseJsonObject(text) ?? {};
  const { event, dumpEventTime } = sectionOf(report, "header");
  const { usedMemory } = sectionOf(report, "javascriptHeap");
  return {
    reason: typeof event === "string" ? event : "unknown; the report is incomplete",
    time: typeof dumpEventTime === "string" ? dumpEventTime : "",
    heapBytes: typeof usedMemory === "number" ? usedMemory : undefined,
  };
}

function sectionOf(report: JsonObject, name: string): JsonObject {
  const section = report[name];
  return isJsonObject(section) ? section : {};
}

function readText(path: string): string | undefined {
  try {
    return readTextFileSync(path);
  } catch {
    return undefined;
  }
}
