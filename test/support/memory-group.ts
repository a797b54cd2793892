// SPDX-License-Identifier: Apache-2.0
import { mkdirSync, readFileSync, rmdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** A control group whose processes together may use so much memory. Disposing it needs them gone. */
export interface MemoryGroup extends Disposable {
  /** Words before a program that run it in the group from its first instruction on. */
  readonly launcher: readonly string[];
  add(pid: number): void;
}

/** @returns undefined where this user may not make such a group */
export function makeMemoryGroup(limitBytes: number): MemoryGroup | undefined {
  for (const { parent, limitFile } of places()) {
    const path = join(parent, `attache-test-${String(process.pid)}-${String(serial++)}`);
    try {
      mkdirSync(path);
      // where no group was made but a plain directory, this file is missing
      readFileSync(join(path, "cgroup.procs"));
      writeFileSync(join(path, limitFile), String(limitBytes));
    } catch {
      remove(path);
      continue;
    }
    const script = `echo $$ > ${join(path, "cgroup.procs")}; exec "$@"`;
    return {
      launcher: ["sh", "-c", script, "sh"],
      add: (pid) => {
        writeFileSync(join(path, "cgroup.procs"), String(pid));
      },
      [Symbol.dispose]: () => {
        remove(path);
      },
    };
  }
  return undefined;
}

let serial = 0;

function places(): readonly { readonly parent: string; readonly limitFile: string }[] {
  const groups = readFileSync("/proc/self/cgroup", "utf8");
  const unified = /^0::(.*)$/m.exec(groups)?.[1] ?? "/";
  const legacy = /^\d+:memory:(.*)$/m.exec(groups)?.[1] ?? "/";
  return [
    { parent: join("/sys/fs/cgroup", unified), limitFile: "memory.max" },
    { parent: join("/sys/fs/cgroup/memory", legacy), limitFile: "memory.limit_in_bytes" },
  ];
}

function remove(path: string): void {
  try {
    rmdirSync(path);
  } catch {
    // it was never made
  }
}
