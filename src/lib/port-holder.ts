// SPDX-License-Identifier: Apache-2.0
import { readdir, readFile, readlink } from "node:fs/promises";
import { parseListeningSockets, readListeningSockets, type ListeningSocket } from "./listening-sockets.ts";

/**
 * The process that listens on a port, such as `nginx (process 17)`; undefined where it cannot be told: another user's
 * process, another container's, or a system without /proc.
 */
export async function readPortHolder(port: number, transport: "tcp" | "udp" = "tcp"): Promise<string | undefined> {
  try {
    const sockets = transport === "tcp" ? ((await readListeningSockets()) ?? []) : await readUdpSockets();
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

/** A UDP socket without a peer is in this state. Source: proc(5), /proc/net/udp */
const unconnected = "07";

async function readUdpSockets(): Promise<readonly ListeningSocket[]> {
  const tables = ["/proc/net/udp", "/proc/net/udp6"].map((path) => readFile(path, "utf8").catch(() => ""));
  return (await Promise.all(tables)).flatMap((table) => parseListeningSockets(table, unconnected));
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
