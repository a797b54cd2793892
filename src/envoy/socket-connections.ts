// SPDX-License-Identifier: Apache-2.0
import { closeSync, openSync, readSync } from "node:fs";
import { systemClock } from "../lib/async/clock.ts";
import { parseSocketRows, readSocketInodes, type SocketRow, socketStates } from "../lib/net/socket-table.ts";
import type { EnvoyAdmin } from "./admin-client.ts";
import type { OpenConnections } from "./admin-responses.ts";
import { parseListeners } from "./listener-sockets.ts";

export interface SocketTables {
  readonly tcp: readonly SocketRow[];
  readonly udp: readonly SocketRow[];
}

interface Listening {
  /** Identifies the listening sockets of all processes, to detect a change. */
  readonly key: string;
  /** Names of Envoy's listeners by port; undefined where ports do not identify all connections. */
  readonly names: ReadonlyMap<number, string> | undefined;
}

/**
 * Counts the connections of Envoy's listeners in the system's socket tables. Envoy's stats have them only with
 * `EXIT_ON_ZERO_ACTIVE_CONNECTIONS`.
 */
export class SocketConnections {
  readonly #admin: Pick<EnvoyAdmin, "request">;
  readonly #uncounted: readonly number[];
  readonly #tables: () => Promise<SocketTables | undefined>;
  #listening: Listening | undefined;

  /** @param uncounted ports of listeners that do not serve the application: admin, probes, metrics */
  constructor(admin: Pick<EnvoyAdmin, "request">, uncounted: readonly number[], tables = readSocketTables) {
    this.#admin = admin;
    this.#uncounted = uncounted;
    this.#tables = tables;
  }

  /** @returns undefined where it cannot be known: no such tables, another user's Envoy, listeners that are not TCP */
  async count(pid: number, signal: AbortSignal): Promise<readonly OpenConnections[] | undefined> {
    const tables = await this.#tables();
    if (tables === undefined) return undefined;
    const listening = tables.tcp.filter(({ state }) => state === socketStates.listen);
    const key = `${String(pid)}: ${listening.map(({ inode }) => inode).join(" ")}`;
    if (this.#listening?.key !== key) {
      this.#listening = { key, names: await this.#namesByPort(pid, listening, tables.udp, signal) };
    }
    const { names } = this.#listening;
    return names === undefined ? undefined : countByPort(tables.tcp, names);
  }

  async #namesByPort(
    pid: number,
    listening: readonly SocketRow[],
    udp: readonly SocketRow[],
    signal: AbortSignal,
  ): Promise<ReadonlyMap<number, string> | undefined> {
    const inodes = await readSocketInodes(pid);
    const ports = new Set(listening.filter(({ inode }) => inodes?.has(inode)).map(({ localPort }) => localPort));
    // QUIC: a UDP socket that is bound and has no peer
    const isQuic = udp.some(({ inode, state }) => state === socketStates.close && inodes?.has(inode));
    if (ports.size === 0 || isQuic) return undefined;
    const shown = parseListeners(await this.#admin.request("GET", "/listeners", {}, signal).catch(() => ""));
    const counted = [...ports].filter((port) => !this.#uncounted.includes(port));
    const nameOf = (port: number): string => shown.find((each) => each.port === port)?.name ?? `port ${String(port)}`;
    return new Map(counted.map((port) => [port, nameOf(port)]));
  }
}

/** @param names Envoy's listeners by port; connections to other ports are left out */
export function countByPort(
  rows: readonly SocketRow[],
  names: ReadonlyMap<number, string>,
): readonly OpenConnections[] {
  const counts = new Map<string, number>();
  for (const row of rows) {
    const listener = names.get(row.localPort);
    if (listener !== undefined && isOpen(row)) counts.set(listener, (counts.get(listener) ?? 0) + 1);
  }
  const open = [...counts].map(([listener, connections]) => ({ listener, connections }));
  return open.sort((a, b) => b.connections - a.connections);
}

/** Includes a connection that waits to be accepted, but not one that Envoy has closed. */
function isOpen({ state, inode }: SocketRow): boolean {
  if (state === socketStates.established || state === socketStates.closeWait || state === socketStates.synReceived)
    return true;
  return inode !== "0" && state !== socketStates.listen && state !== socketStates.close;
}

async function readSocketTables(): Promise<SocketTables | undefined> {
  const tcp = await readRows("tcp");
  if (tcp === undefined) return undefined;
  const [tcp6 = [], udp = [], udp6 = []] = [await readRows("tcp6"), await readRows("udp"), await readRows("udp6")];
  return { tcp: [...tcp, ...tcp6], udp: [...udp, ...udp6] };
}

/** Each read returns a few dozen rows; this many take about a millisecond. */
const readsPerTurn = 32;

/** Yields to the event loop in between, for probes: a machine may have 100,000 connections. */
async function readRows(name: string): Promise<readonly SocketRow[] | undefined> {
  const rows: SocketRow[] = [];
  try {
    const table = openSync(`/proc/net/${name}`, "r");
    using stack = new DisposableStack();
    stack.defer(() => {
      closeSync(table);
    });
    const block = Buffer.alloc(blockBytes);
    for (let begun = ""; ; ) {
      let text = begun;
      for (let reads = 0, bytes = -1; reads < readsPerTurn && bytes !== 0; reads++) {
        bytes = readSync(table, block);
        text += block.toString("latin1", 0, bytes);
        if (bytes === 0) return [...rows, ...parseSocketRows(text)];
      }
      const end = text.lastIndexOf("\n") + 1;
      for (const row of parseSocketRows(text.slice(0, end))) rows.push(row);
      begun = text.slice(end);
      await systemClock.delay(0);
    }
  } catch {
    return undefined;
  }
}

/** The system returns at most a page per read. */
const blockBytes = 16 * 1024;
