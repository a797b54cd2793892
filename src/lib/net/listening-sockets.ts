// SPDX-License-Identifier: Apache-2.0
import { open } from "node:fs/promises";
import { parseSocketRows, socketStates } from "./socket-table.ts";

/** A TCP socket of this network namespace that listens. */
export interface ListeningSocket {
  readonly port: number;
  readonly inode: string;
}

const blockBytes = 64 * 1024;

/**
 * The TCP sockets that listen in this network namespace, over IPv4 and IPv6; undefined on a system that does not tell.
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
  return parseSocketRows(table)
    .filter(({ state }) => state === socketStates.listen)
    .map(({ localPort, inode }) => ({ port: localPort, inode }));
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
