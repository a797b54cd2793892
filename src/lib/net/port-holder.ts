// SPDX-License-Identifier: Apache-2.0
import { readdir, readFile } from "node:fs/promises";
import { readListeningSockets } from "./listening-sockets.ts";
import { parseSocketRows, readSocketInodes, socketStates } from "./socket-table.ts";

/**
 * The process that listens on a port, such as `nginx (process 17)`; undefined where it cannot be told: another user's
 * process, another container's, or a system without /proc.
 */
export async function readPortHolder(port: number, transport: "tcp" | "udp" = "tcp"): Promise<string | undefined> {
  try {
    const inodes = transport === "tcp" ? await readTcpInodes(port) : await readUdpInodes(port);
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

async function readTcpInodes(port: number): Promise<ReadonlySet<string>> {
  const sockets = (await readListeningSockets()) ?? [];
  return new Set(sockets.filter((socket) => socket.port === port).map(({ inode }) => inode));
}

async function readUdpInodes(port: number): Promise<ReadonlySet<string>> {
  const tables = ["/proc/net/udp", "/proc/net/udp6"].map((path) => readFile(path, "utf8").catch(() => ""));
  const rows = (await Promise.all(tables)).flatMap(parseSocketRows);
  const bound = rows.filter(({ localPort, state }) => localPort === port && state === socketStates.close);
  return new Set(bound.map(({ inode }) => inode));
}

async function holdsSocket(pid: string, inodes: ReadonlySet<string>): Promise<boolean> {
  const held = await readSocketInodes(Number(pid));
  return [...inodes].some((inode) => held?.has(inode));
}

async function nameOf(pid: string): Promise<string> {
  const name = await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "");
  return name === "" ? `process ${pid}` : `${name.trim()} (process ${pid})`;
}
