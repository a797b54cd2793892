// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A control group of either version with a limit. Disposing it needs its processes gone. */
export interface ControlGroup extends Disposable {
  /** Words before a program that run it in the group from its first instruction on. */
  readonly launcher: readonly string[];
  add(pid: number): void;
}

/** Its processes together may use so much memory. */
export interface MemoryGroup extends ControlGroup {
  /** How many of its processes the kernel has killed. */
  oomKills(): number;
}

/** @returns undefined where this user may not make such a group */
export function makeMemoryGroup(limitBytes: number): MemoryGroup | undefined {
  const made = makeGroup("memory", { unified: "memory.max", legacy: "memory.limit_in_bytes" }, () =>
    String(limitBytes),
  );
  if (made === undefined) return undefined;
  const eventsFile = join(made.path, made.isUnified ? "memory.events" : "memory.oom_control");
  return {
    ...made.group,
    oomKills: () => Number(/^oom_kill (\d+)$/m.exec(readFileSync(eventsFile, "utf8"))?.[1]),
  };
}

/** The kernel's usual period, as the kubelet sets it. */
const periodUs = 100_000;

/** @param millicpus as in Kubernetes: 100 is a tenth of a processor @returns undefined where this user may not */
export function makeProcessorGroup(millicpus: number): ControlGroup | undefined {
  const quotaUs = (millicpus * periodUs) / 1_000;
  return makeGroup("cpu", { unified: "cpu.max", legacy: "cpu.cfs_quota_us" }, (isUnified) =>
    isUnified ? `${String(quotaUs)} ${String(periodUs)}` : String(quotaUs),
  )?.group;
}

/** Its processes together may have so many threads. @returns undefined where this user may not make such a group */
export function makeTaskGroup(tasks: number): ControlGroup | undefined {
  return makeGroup("pids", { unified: "pids.max", legacy: "pids.max" }, () => String(tasks))?.group;
}

let serial = 0;

function makeGroup(
  controller: string,
  limitFiles: { readonly unified: string; readonly legacy: string },
  limit: (isUnified: boolean) => string,
): { readonly path: string; readonly isUnified: boolean; readonly group: ControlGroup } | undefined {
  for (const { parent, isUnified } of places(controller)) {
    const path = join(parent, `attache-test-${String(process.pid)}-${String(serial++)}`);
    try {
      mkdirSync(path);
      // where no group was made but a plain directory, this file is missing
      readFileSync(join(path, "cgroup.procs"));
      writeFileSync(join(path, isUnified ? limitFiles.unified : limitFiles.legacy), limit(isUnified));
    } catch {
      remove(path);
      continue;
    }
    const script = `echo $$ > ${join(path, "cgroup.procs")}; exec "$@"`;
    const group: ControlGroup = {
      launcher: ["sh", "-c", script, "sh"],
      add: (pid) => {
        writeFileSync(join(path, "cgroup.procs"), String(pid));
      },
      [Symbol.dispose]: () => {
        remove(path);
      },
    };
    return { path, isUnified, group };
  }
  return undefined;
}

function places(controller: string): readonly { readonly parent: string; readonly isUnified: boolean }[] {
  const lines = readFileSync("/proc/self/cgroup", "utf8").split("\n");
  const groups = lines.map((line) => line.split(":"));
  const unified = groups.find(([id, controllers]) => id === "0" && controllers === "")?.[2] ?? "/";
  const legacy = groups.find(([, controllers]) => controllers?.split(",").includes(controller))?.[2] ?? "/";
  return [
    { parent: join("/sys/fs/cgroup", unified), isUnified: true },
    { parent: join("/sys/fs/cgroup", controller, legacy), isUnified: false },
  ];
}

function remove(path: string): void {
  try {
    rmdirSync(path);
  } catch {
    // it was never made
  }
}
