// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";

/** Whether a process runs; one that has ended but was not reaped does not. */
export function isRunning(pid: number): boolean {
  try {
    const stat = readFileSync(`/proc/${String(pid)}/stat`, "utf8");
    return !/\) [ZX] /.test(stat);
  } catch {
    return false;
  }
}
