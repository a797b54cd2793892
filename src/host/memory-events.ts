// SPDX-License-Identifier: Apache-2.0
import { readFile } from "node:fs/promises";

/** What the system's memory controller has done to the processes of this container or service. */
export interface MemoryEvents {
  /** Processes killed because the memory limit was reached. */
  readonly oomKills: number;
  /** Times that the limit was hit, and memory had to be won back. */
  readonly limitHits: number;
}

export interface MemoryEventsFiles {
  /** This process's control groups, as `/proc/self/cgroup` lists them. */
  readonly groups: string;
  /** Where the control groups are mounted. */
  readonly mount: string;
}

const systemFiles: MemoryEventsFiles = { groups: "/proc/self/cgroup", mount: "/sys/fs/cgroup" };

/**
 * Reads the counters of this process's control group, version 2 or 1.
 * @returns undefined where there are none to read
 * Source: Linux's cgroup-v2 document (memory.events) and cgroup-v1 memory document (memory.oom_control)
 */
export async function readMemoryEvents(files: MemoryEventsFiles = systemFiles): Promise<MemoryEvents | undefined> {
  const groups = await readText(files.groups);
  for (const path of eventFiles(groups ?? "", files.mount)) {
    const text = await readText(path);
    if (text !== undefined) return parseMemoryEvents(text);
  }
  return undefined;
}

/** Reads `name value` lines of either version. */
export function parseMemoryEvents(text: string): MemoryEvents {
  const count = (name: string): number => Number(new RegExp(`^${name} (\\d+)$`, "m").exec(text)?.[1] ?? 0);
  return { oomKills: count("oom_kill"), limitHits: count("max") };
}

/**
 * Where the counters may be, best first. In a container the mount is the group itself, whatever the path says that
 * the group has on the machine.
 */
export function eventFiles(groups: string, mount: string): readonly string[] {
  const files: string[] = [];
  const unified = /^0::(.*)$/m.exec(groups)?.[1];
  if (unified !== undefined) files.push(`${mount}${slash(unified)}memory.events`, `${mount}/memory.events`);
  const legacy = /^\d+:(?:[^:\n]*,)?memory(?:,[^:\n]*)?:(.*)$/m.exec(groups)?.[1];
  if (legacy !== undefined) {
    files.push(`${mount}/memory${slash(legacy)}memory.oom_control`, `${mount}/memory/memory.oom_control`);
  }
  return files;
}

function slash(path: string): string {
  return path.endsWith("/") ? path : `${path}/`;
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch {
    return undefined;
  }
}
