// SPDX-License-Identifier: Apache-2.0
import { open, readFile, readdir, readlink } from "node:fs/promises";
import { basename } from "node:path";

/** A socket as the system's tables list it. */
export interface SocketRow {
  readonly localPort: number;
  /** One of `socketStates`. */
  readonly state: string;
  /** `0` where no process holds it: not accepted yet, or left behind. */
  readonly inode: string;
}

/** Two hexadecimal digits each. Source: Linux, include/net/tcp_states.h */
export const socketStates = {
  established: "01",
  synReceived: "03",
  timeWait: "06",
  /** Over UDP: without a peer. */
  close: "07",
  closeWait: "08",
  listen: "0A",
} as const;

/**
 * Parses lines of `/proc/net/tcp`, `tcp6`, `udp` or `udp6`. Connections in TIME_WAIT, which are by far the most, are
 * left out.
 * Source: proc(5)
 */
export function parseSocketRows(text: string): readonly SocketRow[] {
  return text.split("\n").flatMap((line) => {
    const local = line.indexOf(": ") + 2;
    const remote = line.indexOf(" ", local) + 1;
    const rest = line.indexOf(" ", remote) + 1;
    const state = line.slice(rest, rest + 2);
    if (state === socketStates.timeWait || !/^[0-9A-F]{2}$/.test(state)) return [];
    const [, , , , , , inode = "0"] = line.slice(rest).split(/ +/);
    return [{ localPort: Number.parseInt(line.slice(remote - 5, remote - 1), 16), state, inode }];
  });
}

/** The sockets that a process has open. @returns undefined if this process has no permission */
export async function readSocketInodes(pid: number): Promise<ReadonlySet<string> | undefined> {
  const folder = `/proc/${String(pid)}/fd`;
  const descriptors = await readdir(folder).catch(() => undefined);
  if (descriptors === undefined) return undefined;
  const targets = await Promise.all(descriptors.map((name) => readlink(`${folder}/${name}`).catch(() => "")));
  // their owner may list them, and without the process's capabilities not read where they lead
  if (targets.length > 0 && targets.every((target) => target === "")) return undefined;
  return new Set(targets.flatMap((target) => /^socket:\[(\d+)\]$/.exec(target)?.[1] ?? []));
}

/** A TCP socket of this network namespace that listens. */
export interface ListeningSocket {
  /** Four or sixteen bytes. */
  readonly ip: Uint8Array;
  readonly port: number;
  readonly inode: string;
}

const blockBytes = 64 * 1024;

/**
 * The TCP sockets that listen in this network namespace, over IPv4 and IPv6; undefined on a system without /proc.
 * However many connections there are, they are not read.
 * Source: proc(5), /proc/net/tcp; Linux lists the sockets that listen before all others
 */
export async function readListeningSockets(): Promise<readonly ListeningSocket[] | undefined> {
  const tables = await Promise.all(["/proc/net/tcp", "/proc/net/tcp6"].map(readStart));
  if (tables.every((table) => table === undefined)) return undefined;
  return tables.flatMap((table) => parseListeningSockets(table ?? ""));
}

/** @param table the text of `/proc/net/tcp`, or so much of it as lists sockets that listen */
export function parseListeningSockets(table: string): readonly ListeningSocket[] {
  return table.split("\n").flatMap((line) => {
    const [row] = parseSocketRows(line);
    if (row?.state !== socketStates.listen) return [];
    const ip = /: ([0-9A-F]+):/.exec(line)?.[1] ?? "";
    // Groups of four bytes in the byte order of the machine, which is little-endian where Node.js runs on Linux.
    return [{ ip: Buffer.from(ip, "hex").swap32(), port: row.localPort, inode: row.inode }];
  });
}

/** The table up to the first socket that does not listen. */
async function readStart(path: string): Promise<string | undefined> {
  try {
    await using file = await open(path);
    let text = "";
    for (;;) {
      const { bytesRead, buffer } = await file.read(Buffer.alloc(blockBytes));
      text += buffer.toString("latin1", 0, bytesRead);
      if (bytesRead === 0 || /^ *\d+: \S+ \S+ (?!0A)[0-9A-F]{2}/m.test(text)) return text;
    }
  } catch {
    return undefined;
  }
}

/**
 * The process that listens on a port, such as `nginx (process 17)`; undefined where it is unknown: another user's
 * process, another container's, or a system without /proc.
 */
export async function readPortHolder(port: number, transport: "tcp" | "udp" = "tcp"): Promise<string | undefined> {
  try {
    const inodes = transport === "tcp" ? await readTcpInodes(port) : await readUdpInodes(port);
    if (inodes.size === 0) return undefined;
    const pids = (await readdir("/proc")).filter((name) => /^\d+$/.test(name));
    for (const pid of pids) {
      if (await holdsSocket(pid, inodes)) return await describeProcess(Number(pid));
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

/** A process for a person: `nginx (process 17)`. */
export async function describeProcess(pid: number): Promise<string> {
  const [comm, commandLine] = await Promise.all(
    ["comm", "cmdline"].map((file) => readFile(`/proc/${String(pid)}/${file}`, "utf8").catch(() => "")),
  );
  const name = programName(comm ?? "", commandLine ?? "");
  return name === "" ? `process ${String(pid)}` : `${name} (process ${String(pid)})`;
}

/** All programs of Node.js have the same process name, such as `node-MainThread`: these have the name of their script. */
export function programName(comm: string, commandLine: string): string {
  const name = comm.trim();
  if (!name.startsWith("node")) return name;
  const script = commandLine.split("\0").find((argument) => /^\S+\.[cm]?js$/.test(argument));
  return script === undefined ? name : basename(script).replace(/\.[cm]?js$/, "");
}
