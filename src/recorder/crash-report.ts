// SPDX-License-Identifier: Apache-2.0
import { readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { writeFileAtomicSync } from "../lib/fs/atomic-file.ts";
import { makeDirectorySync } from "../lib/fs/make-directory.ts";
import { escapeControls } from "../lib/printable-text.ts";
import type { LogLevel } from "../lib/log/log.ts";
import { attempt, writeMessage } from "./termination-message.ts";
import { cutToBytes, oneLine } from "../lib/trim.ts";

/** Where the crash report goes. */
export interface CrashReportConfig {
  /**
   * Kubernetes shows the first 4,096 bytes of this file as the container's termination message. Undefined or empty
   * writes none.
   */
  readonly terminationMessagePath: string | undefined;
  /** Directory for complete reports, one file for each; undefined writes none. */
  readonly directory: string | undefined;
}

/** A failed exit of the agent. */
export interface FailedExit {
  readonly code: number;
  /** One line: the cause, and what to do about it. */
  readonly reason: string;
  /** More lines: what the pod was waiting for. They stand between the reason and the events. */
  readonly details?: string | undefined;
}

/** An event as one line of text, without a line break. */
export interface RecordedEvent {
  readonly timeMs: number;
  readonly level: LogLevel;
  /** The scope with which the text begins; none or empty for the default scope. */
  readonly scope?: string;
  readonly text: string;
}

export interface CrashReport {
  readonly exit: FailedExit;
  /** The last events before the exit, oldest first. */
  readonly events: readonly RecordedEvent[];
  /** How many older events are not in the report. */
  readonly forgotten: number;
  /** Wall clock at the exit. */
  readonly nowMs: number;
  /** How many reports the directory may have. */
  readonly mostReports: number;
}

/** Source: Kubernetes, "Customizing the termination message" */
const terminationMessageBytes = 4_096;

/** So that events have space beside the details. */
const maxDetailBytes = 1_500;

/**
 * Writes the report to all places of the configuration. Synchronous, because the process is about to exit.
 * @returns a description of each failed write; never throws
 */
export function writeCrashReport(config: CrashReportConfig, report: CrashReport): readonly string[] {
  const { directory } = config;
  return [
    ...writeMessage(config, renderTerminationMessage(report)),
    ...attempt(directory, (path) => {
      writeReportFile(path, report);
    }),
  ];
}

/** Reason, details and as many of the newest events as fit, each with its age in seconds; the newest is last. */
export function renderTerminationMessage({
  exit,
  events,
  nowMs,
}: Omit<CrashReport, "forgotten" | "mostReports">): string {
  const maxBytes = terminationMessageBytes;
  const title = cutLines(
    `attache exited with code ${String(exit.code)}: ${escapeControls(oneLine(exit.reason))}\n`,
    maxBytes,
  );
  const detailBytes = Math.min(maxDetailBytes, maxBytes - Buffer.byteLength(title));
  const head = title + cutLines(detailLines(exit), detailBytes);
  const lines: string[] = [];
  let bytes = Buffer.byteLength(head);
  for (const event of events.toReversed()) {
    const line = `${renderAge(nowMs - event.timeMs)} ${event.level} ${event.text}\n`;
    bytes += Buffer.byteLength(line);
    if (bytes > maxBytes) break;
    lines.push(line);
  }
  return head + lines.toReversed().join("");
}

function writeReportFile(directory: string, report: CrashReport): void {
  makeDirectorySync(directory, 0o700);
  const time = new Date(report.nowMs).toISOString();
  const name = `attache-${time.replaceAll(":", "")}-${String(process.pid)}.json`;
  writeFileAtomicSync(join(directory, name), renderJson(report), 0o600);
  const reports = readdirSync(directory).filter((file) => /^attache-.*\.json$/.test(file));
  for (const old of reports.sort().slice(0, -report.mostReports)) rmSync(join(directory, old), { force: true });
}

function renderJson({ exit, events, forgotten, nowMs }: CrashReport): string {
  const document = {
    endedAt: new Date(nowMs).toISOString(),
    code: exit.code,
    reason: escapeControls(oneLine(exit.reason)),
    details: exit.details?.split("\n"),
    forgottenEvents: forgotten,
    events: events.map(({ timeMs, level, text }) => ({ time: new Date(timeMs).toISOString(), level, text })),
  };
  return `${JSON.stringify(document, undefined, 1)}\n`;
}

function detailLines({ details = "" }: FailedExit): string {
  return details === "" || details.endsWith("\n") ? details : `${details}\n`;
}

function renderAge(ageMs: number): string {
  return `-${(Math.max(0, ageMs) / 1_000).toFixed(3)}s`;
}

function cutLines(lines: string, maxBytes: number): string {
  return Buffer.byteLength(lines) <= maxBytes ? lines : `${cutToBytes(lines, maxBytes - 1)}\n`;
}
