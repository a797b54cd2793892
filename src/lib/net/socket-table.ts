// SPDX-License-Identifier: Apache-2.0
import { readdir, readlink } from "node:fs/promises";

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
 * Reads lines of `/proc/net/tcp` or one of its kin; those of connections that are only remembered (TIME_WAIT, by far the
 * most) are left out.
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

/** The sockets that a process has open. @returns undefined where this process may not look */
export async function readSocketInodes(pid: number): Promise<ReadonlySet<string> | undefined> {
  const folder = `/proc/${String(pid)}/fd`;
  const descriptors = await readdir(folder).catch(() => undefined);
  if (descriptors === undefined) return undefined;
  const targets = await Promise.all(descriptors.map((name) => readlink(`${folder}/${name}`).catch(() => "")));
  return new Set(targets.flatMap((target) => /^socket:\[(\d+)\]$/.exec(target)?.[1] ?? []));
}
