// SPDX-License-Identifier: Apache-2.0
import { readdir, readFile, readlink } from "node:fs/promises";

const listenState = "0A";

/**
 * The process that listens on a TCP port, such as `nginx (process 17)`; undefined where it cannot be told: another
 * user's process, another container's, or a system without /proc.
 * Source: proc(5), /proc/net/tcp
 */
export async function readPortHolder(port: number): Promise<string | undefined> {
  try {
    const inodes = new Set<string>();
    for (const table of ["/proc/net/tcp", "/proc/net/tcp6"]) {
      for (const inode of listeningInodes(await readFile(table, "utf8").catch(() => ""), port)) inodes.add(inode);
    }
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

/** The socket inodes of the lines that listen on the port. */
export function listeningInodes(table: string, port: number): readonly string[] {
  const hexPort = port.toString(16).toUpperCase().padStart(4, "0");
  return table.split("\n").flatMap((line) => {
    const [, local = "", , state, , , , , , inode] = line.trim().split(/\s+/);
    return state === listenState && local.endsWith(`:${hexPort}`) && inode !== undefined ? [inode] : [];
  });
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
