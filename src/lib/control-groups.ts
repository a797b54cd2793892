// SPDX-License-Identifier: Apache-2.0

/** The control group of this process that accounts its memory. */
export interface MemoryGroup {
  readonly version: 1 | 2;
  /** The root of the hierarchy. In a container it is the container's own group. */
  readonly root: string;
  /** Below the root, with a leading slash. In a container it may be the path on the machine, which is not there. */
  readonly path: string;
}

/**
 * The memory groups in the text of `/proc/self/cgroup`, best first.
 * @param mount where the control groups are mounted
 * Source: cgroups(7)
 */
export function memoryGroups(text: string, mount: string): readonly MemoryGroup[] {
  const groups: MemoryGroup[] = [];
  for (const line of text.split("\n")) {
    const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (controllers === undefined || path === undefined) continue;
    if (controllers === "") groups.unshift({ version: 2, root: mount, path });
    else if (controllers.split(",").includes("memory")) groups.push({ version: 1, root: `${mount}/memory`, path });
  }
  return groups;
}
