// SPDX-License-Identifier: Apache-2.0
import { readFile } from "node:fs/promises";

/** A kind of resource that control groups limit. In version 2 all kinds have one group. */
export type Controller = "cpu" | "memory" | "pids";

export interface ControlGroupPlaces {
  /** The list of a process's control groups. */
  readonly groups: string;
  readonly mount: string;
}

export const systemPlaces: ControlGroupPlaces = { groups: "/proc/self/cgroup", mount: "/sys/fs/cgroup" };

/** A directory with the files of a control group. */
interface GroupDirectory {
  readonly version: 1 | 2;
  readonly path: string;
}

/**
 * The directories of a process's control group and of those around it, innermost first, version 2 before 1. In a container
 * the mount is the container's own group, although the list may have the path on the machine.
 * Source: cgroups(7)
 */
export function groupDirectories(groups: string, controller: Controller, mount: string): readonly GroupDirectory[] {
  return groups.split("\n").flatMap((line) => {
    const [, controllers, path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (controllers === undefined || path === undefined) return [];
    const version = controllers === "" ? 2 : 1;
    if (version === 1 && !controllers.split(",").includes(controller)) return [];
    const root = version === 2 ? mount : `${mount}/${controller}`;
    const parts = path.split("/").filter((part) => part !== "" && part !== "..");
    const paths = parts.map((_part, index) => `/${parts.slice(0, index + 1).join("/")}`).reverse();
    return [...paths, ""].map((each): GroupDirectory => ({ version, path: `${root}${each}` }));
  });
}

/**
 * Reads the first file that exists of the groups, innermost first.
 * @param names of the file in version 2 and 1
 */
export async function readGroupFile(
  controller: Controller,
  names: { readonly unified: string; readonly legacy: string },
  places: ControlGroupPlaces = systemPlaces,
): Promise<string | undefined> {
  const groups = await textOf(places.groups);
  for (const { version, path } of groupDirectories(groups ?? "", controller, places.mount)) {
    const text = await textOf(`${path}/${version === 2 ? names.unified : names.legacy}`);
    if (text !== undefined) return text;
  }
  return undefined;
}

/** One of the `name value` lines. */
export function counterOf(text: string, name: string): number {
  return Number(new RegExp(`^${name} (\\d+)$`, "m").exec(text)?.[1] ?? 0);
}

async function textOf(path: string): Promise<string | undefined> {
  return await readFile(path, "utf8").catch(() => undefined);
}
