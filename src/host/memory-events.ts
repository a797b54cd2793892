// SPDX-License-Identifier: Apache-2.0
import { readFile } from "node:fs/promises";
import { memoryGroups } from "../lib/control-groups.ts";

/** Counters of the memory controller for this container or service. */
export interface MemoryEvents {
  /** Processes killed because the memory limit was reached. */
  readonly oomKills: number;
  /** Times that the limit was reached and memory had to be reclaimed. */
  readonly limitHits: number;
}

export interface MemoryEventsFiles {
  /** Path of the list of this process's control groups. */
  readonly groups: string;
  /** Mount point of the control groups. */
  readonly mount: string;
}

const systemFiles: MemoryEventsFiles = { groups: "/proc/self/cgroup", mount: "/sys/fs/cgroup" };

/**
 * Reads the counters of this process's control group, version 2 or 1.
 * @returns undefined if there are none
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

/** Parses the `name value` lines of either version. */
export function parseMemoryEvents(text: string): MemoryEvents {
  const count = (name: string): number => Number(new RegExp(`^${name} (\\d+)$`, "m").exec(text)?.[1] ?? 0);
  return { oomKills: count("oom_kill"), limitHits: count("max") };
}

/**
 * Possible paths of the counters, best first. In a container the mount point is the group itself, although
 * `/proc/self/cgroup` may list the group's path on the machine.
 */
export function eventFiles(groups: string, mount: string): readonly string[] {
  return memoryGroups(groups, mount).flatMap(({ version, root, path }) => {
    const name = version === 2 ? "memory.events" : "memory.oom_control";
    return [`${root}${path.endsWith("/") ? path : `${path}/`}${name}`, `${root}/${name}`];
  });
}

async function readText(path: string): Promise<string | undefined> {
  try {
    return await readFile(path, "utf8");
  } catch {
    return undefined;
  }
}
