// SPDX-License-Identifier: Apache-2.0
import { readdir, readFile, readlink } from "node:fs/promises";
import { readListeningSockets } from "../lib/listening-sockets.ts";

/**
 * The process that listens on a TCP port, such as `nginx (process 17)`; undefined where it cannot be told: another
 * user's process, another container's, or a system without /proc.
 */
export async function readPortHolder(port: number): Promise<string | undefined> {
  try {
    const sockets = (await readListeningSockets()) ?? [];
    const inodes = new Set(sockets.filter((socket) => socket.port === port).map(({ inode }) => inode));
    if (inodes.size === 0) return undefined;
    const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
    for (const pid of pids) {
      if (await holdsSocket(pid, inodes)) return await nameOf(pid);
    }
    return undefined;
  } catch {
    return undefined;
  }
}

async function holdsSocket(pid: string, inodes: ReadonlySet<string>): Promise<boolean> {
  const descriptors = await readdir(`/proc/${pid}/fd`).catch(() => []);
  for (const descriptor of descriptors) {
    const target = await readlink(`/proc/${pid}/fd/${descriptor}`).catch(() => "");
    const inode = /^socket:\[(\d+)\]$/.exec(target)?.[1];
    if (inode !== undefined && inodes.has(inode)) return true;
  }
  return false;
}

async function nameOf(pid: string): Promise<string> {
  const name = await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "");
  return name === "" ? `process ${pid}` : `${name.trim()} (process ${pid})`;
}
