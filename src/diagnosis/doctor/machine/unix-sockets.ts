// SPDX-License-Identifier: Apache-2.0
import { readdir, readFile, realpath } from "node:fs/promises";
import { resolve } from "node:path";
import { describeProcess, readSocketInodes } from "../../../lib/net/socket-table.ts";
import { readWorkingDirectory } from "./processes.ts";

/** The process that serves a socket. */
export interface SocketHolder {
  readonly pid: number;
  /** `attache (process 17)` */
  readonly text: string;
}

/** A Unix socket that listens. */
interface ListeningPath {
  readonly inode: string;
  /** As its server gave it: it may be relative to the server's working directory. */
  readonly path: string;
}

/** The process that listens at a path; undefined where it cannot be seen: another user's, or another container's. */
export async function readSocketHolder(path: string): Promise<SocketHolder | undefined> {
  const places = new Set([path, await realpath(path).catch(() => path)]);
  const table = await readFile("/proc/net/unix", "utf8").catch(() => "");
  const candidates = parseListeningPaths(table).filter(({ path: listed }) =>
    [...places].some((place) => place === listed || place.endsWith(tailOf(listed))),
  );
  if (candidates.length === 0) return undefined;
  const entries = await readdir("/proc").catch(() => []);
  for (const pid of entries.filter((name) => /^\d+$/.test(name)).map(Number)) {
    const held = await readSocketInodes(pid);
    const found = candidates.filter(({ inode }) => held?.has(inode));
    if (found.length === 0) continue;
    const directory = (await readWorkingDirectory(pid)) ?? "/";
    if (!found.some((one) => places.has(resolve(directory, one.path)))) continue;
    return { pid, text: await describeProcess(pid) };
  }
  return undefined;
}

/** `SO_ACCEPTCON`. Source: Linux, include/uapi/linux/net.h; proc(5), /proc/net/unix */
const listens = 0x10000;

/** @param table lines of `Num RefCount Protocol Flags Type St Inode Path` */
export function parseListeningPaths(table: string): readonly ListeningPath[] {
  return table.split("\n").flatMap((line) => {
    const [, flags, inode, path] = /^\S+ \S+ \S+ ([0-9A-F]+) \S+ \S+ +(\d+) ([^@].*)$/.exec(line) ?? [];
    if (flags === undefined || inode === undefined || path === undefined) return [];
    return (Number.parseInt(flags, 16) & listens) === 0 ? [] : [{ inode, path }];
  });
}

/** `./var/run/socket` is the end of each absolute path of it. A path with `..` in its middle is not found. */
function tailOf(path: string): string {
  return path.startsWith("/") ? path : `/${path.replace(/^(\.\/)+/, "")}`;
}
