// SPDX-License-Identifier: Apache-2.0
// What a process costs, as the kernel counts it.
import { readdirSync, readFileSync } from "node:fs";

/** Memory that a process shares with nobody and that no file backs, in megabytes (10^6 bytes). */
export function privateMegabytes(pid: number): number {
  return megabytesOf(pid, "Anonymous");
}

/** All memory of a process that is in RAM, with that of its program's file, in megabytes (10^6 bytes). */
export function residentMegabytes(pid: number): number {
  return megabytesOf(pid, "Rss");
}

function megabytesOf(pid: number, field: string): number {
  const text = readFileSync(`/proc/${String(pid)}/smaps_rollup`, "utf8");
  const [, kibibytes] = new RegExp(`^${field}:\\s+(\\d+) kB$`, "m").exec(text) ?? [];
  return (Number(kibibytes) * 1_024) / 1e6;
}

/**
 * Processor time of all threads that a process has now, in ms. Neither a Node.js process nor the peer ends threads while
 * it runs. Source: Linux, sched-stats document; exact, where the ticks of proc_pid_stat(5) are of 10 ms
 */
export function processorMs(pid: number): number {
  const folder = `/proc/${String(pid)}/task`;
  return parseSchedstat(
    readdirSync(folder)
      .map((thread) => readFileSync(`${folder}/${thread}/schedstat`, "utf8"))
      .join(""),
  );
}

/** @param text of the files `schedstat` of threads @returns their processor time together, in ms */
export function parseSchedstat(text: string): number {
  const lines = text.split("\n").filter((line) => line !== "");
  return lines.reduce((sum, line) => sum + Number(line.split(" ", 1)[0]) / 1e6, 0);
}
