// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { totalmem } from "node:os";
import { getHeapStatistics } from "node:v8";
import { findLimitedGroup } from "./memory-usage.ts";
import { parseLimits } from "./process-limits.ts";

/** What the machine, the container and the engine allow this process. The sizes of budgets follow from it. */
export interface HostLimits {
  /** The memory limit of the container, which all of its processes share; without a limit the machine's memory. */
  readonly memoryBytes: number;
  /** The limit of the engine's heap. */
  readonly heapBytes: number;
  /** Files and sockets that peers may make this process open: `RLIMIT_NOFILE` without the reserve. */
  readonly openFiles: number;
}

/** Files that the process needs for itself: libraries, log, own sockets, calls to the CA and the control plane. */
export const reservedFiles = 64;

/**
 * Open files of a process. `least`: agent and Envoy need some 200 each for libraries, listeners of each worker, logs, the
 * control plane. `usual`: Envoy needs two for each connection of the application, and the agent serves fewer clients with
 * less. docs/limits.md
 */
export const neededFiles = { least: 512, usual: 4_096 } as const;

/** The number that stands for unlimited files. Source: the kernel's default of fs.nr_open */
export const unlimitedFiles = 1_048_576;

export interface HostLimitFiles {
  /** The list of this process's control groups. */
  readonly groups: string;
  /** Where the control groups are mounted. */
  readonly mount: string;
  readonly limits: string;
}

const systemFiles: HostLimitFiles = {
  groups: "/proc/self/cgroup",
  mount: "/sys/fs/cgroup",
  limits: "/proc/self/limits",
};

/** Reads the limits once. A limit that cannot be read counts as none. */
export function readHostLimits(files: HostLimitFiles = systemFiles): HostLimits {
  const open = parseLimits(readText(files.limits) ?? "").openFiles.soft ?? unlimitedFiles;
  return {
    memoryBytes: Math.min(totalmem(), findLimitedGroup(files)?.limitBytes ?? Number.POSITIVE_INFINITY),
    heapBytes: getHeapStatistics().heap_size_limit,
    openFiles: Math.max(1, Math.min(open, unlimitedFiles) - reservedFiles),
  };
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return undefined;
  }
}
