// SPDX-License-Identifier: Apache-2.0
import { closeSync, constants, openSync, rmSync, writeSync } from "node:fs";
import { systemCode } from "../lib/errors.ts";
import { exitCode } from "../lib/exit-code.ts";

/** Where the message goes; undefined or empty writes none. */
interface MessageConfig {
  readonly terminationMessagePath: string | undefined;
}

/**
 * Writes what the termination message says if the agent has no time to write a report: it is killed, or the engine
 * aborts.
 * @param reportPath where the engine writes its own report
 * @returns a description of the failed write; never throws
 */
export function writeAbortNotice(config: MessageConfig, reportPath: string | undefined): readonly string[] {
  const report = reportPath === undefined ? "" : `; its report is ${reportPath}`;
  const aborted = `its JavaScript engine aborted, out of memory or with a fatal error${report}`;
  const codes = `137: it was killed with SIGKILL, often for lack of memory; ${String(exitCode.internal)} or 134: ${aborted}`;
  return writeMessage(config, `attache left no crash report. The exit code says why. ${codes}\n`);
}

/** Removes the file, or empties it where it is mounted. @returns a description of the failed write; never throws */
export function clearTerminationMessage(config: MessageConfig): readonly string[] {
  return attempt(config.terminationMessagePath, (path) => {
    try {
      if (path.startsWith("/dev/")) writeTerminationMessage(path, "");
      else rmSync(path, { force: true });
    } catch (error) {
      if (systemCode(error) !== "EBUSY") throw error;
      writeTerminationMessage(path, "");
    }
  });
}

/** @returns a description of the failed write; never throws */
export function writeMessage({ terminationMessagePath }: MessageConfig, text: string): readonly string[] {
  return attempt(terminationMessagePath, (path) => {
    writeTerminationMessage(path, text);
  });
}

/** @returns a description of what it throws */
export function attempt(path: string | undefined, write: (path: string) => void): readonly string[] {
  if (path === undefined || path === "") return [];
  try {
    write(path);
    return [];
  } catch (error) {
    return [`${path}: ${error instanceof Error ? error.message : String(error)}`];
  }
}

/** Kubernetes mounts the file below /dev, where no file may be created. The file is written in place. */
function writeTerminationMessage(path: string, message: string): void {
  const create = path.startsWith("/dev/") ? 0 : constants.O_CREAT;
  let descriptor: number;
  try {
    descriptor = openSync(path, constants.O_WRONLY | constants.O_TRUNC | constants.O_NONBLOCK | create, 0o644);
  } catch (error) {
    if (create === 0 && error instanceof Error && "code" in error && error.code === "ENOENT") return;
    throw error;
  }
  try {
    writeSync(descriptor, message);
  } finally {
    closeSync(descriptor);
  }
}
