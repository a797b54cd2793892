// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { memoryGroups } from "./control-groups.ts";

export interface MemoryUsageFiles {
  /** The list of this process's control groups. */
  readonly groups: string;
  /** Where the control groups are mounted. */
  readonly mount: string;
}

const systemFiles: MemoryUsageFiles = { groups: "/proc/self/cgroup", mount: "/sys/fs/cgroup" };

/** A control group with a limit. */
export interface LimitedGroup {
  readonly version: 1 | 2;
  readonly path: string;
  readonly limitBytes: number;
}

/**
 * The control group with the smallest memory limit, of this process's and those above it; undefined without a limit.
 * Source: Linux's cgroup-v2 document (memory.max) and cgroup-v1 memory document (memory.limit_in_bytes)
 */
export function findLimitedGroup({ groups, mount }: MemoryUsageFiles = systemFiles): LimitedGroup | undefined {
  const limited = memoryGroups(readText(groups) ?? "", mount).flatMap(({ version, root, path }) =>
    withParents(path).flatMap((group) => {
      const text = readText(`${root}${group}/${version === 2 ? "memory.max" : "memory.limit_in_bytes"}`);
      const limitBytes = Number(text ?? "max");
      return Number.isFinite(limitBytes) && limitBytes > 0 ? [{ version, path: `${root}${group}`, limitBytes }] : [];
    }),
  );
  return limited.sort((a, b) => a.limitBytes - b.limitBytes)[0];
}

/** `/a/b` is in `/a`, which is in the root. */
function withParents(path: string): readonly string[] {
  const parts = path.split("/").filter((part) => part !== "" && part !== "..");
  return parts.map((_part, index) => `/${parts.slice(0, index + 1).join("/")}`).concat("");
}

/**
 * A function that reads how much of the memory limit is in use and cannot be reclaimed: memory of all processes and
 * what the kernel holds for their sockets, without the cache of files. It returns undefined where there is no limit.
 * Source: Linux's cgroup-v2 document (memory.current, memory.stat) and cgroup-v1 memory document
 */
export function createUsageReader(files: MemoryUsageFiles = systemFiles): () => number | undefined {
  const group = findLimitedGroup(files);
  if (group === undefined) return () => undefined;
  const { version, path } = group;
  const usage = `${path}/${version === 2 ? "memory.current" : "memory.usage_in_bytes"}`;
  const prefix = version === 2 ? "" : "total_";
  return () => {
    const used = Number(readText(usage) ?? Number.NaN);
    if (!Number.isFinite(used)) return undefined;
    const stat = readText(`${path}/memory.stat`) ?? "";
    return Math.max(0, used - counter(stat, `${prefix}inactive_file`) - counter(stat, `${prefix}active_file`));
  };
}

/** One of the `name value` lines. */
function counter(stat: string, name: string): number {
  const start = stat.startsWith(`${name} `) ? 0 : stat.indexOf(`\n${name} `) + 1;
  if (start === 0 && !stat.startsWith(`${name} `)) return 0;
  return Number.parseInt(stat.slice(start + name.length + 1), 10) || 0;
}

function readText(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8").trim();
  } catch {
    return undefined;
  }
}
