// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";
import { ipBytes } from "../lib/net/ip-address.ts";
import {
  type ListeningSocket,
  readListeningSockets,
  readPortHolder,
  readSocketInodes,
} from "../lib/net/socket-table.ts";
import type { TakenPort } from "./envoy-errors.ts";

/** An address at which Envoy or the agent listens over TCP. */
export interface WantedAddress {
  /** An IP address, without brackets. */
  readonly host: string;
  readonly port: number;
  /** The setting that moves the port; empty for a listener of the user's. */
  readonly setting: string;
}

/** The Envoy of an agent that was just killed still closes its sockets. */
const freedWithinMs = 1_000;
const checkEveryMs = 50;
/** How often Envoy is looked at that does not listen yet. */
const laterCheckEveryMs = 500;

/**
 * The ports on which another process listens at the same address and family, once Envoy shares one of them. Envoy would not
 * notice: its listeners share a port with every process of the same user that allows it (SO_REUSEPORT), and each gets a
 * part of the connections. Waits a second at least for a process that is exiting. The kernel's tables are read off the
 * event loop: where the machine has many connections, that takes milliseconds.
 * @param ownPids the agent and its Envoys, whose sockets do not count
 * @returns each port once; "free" also on a system without the tables, "pending" if after `withinMs` Envoy shares none yet
 */
export async function untilPortsShared(
  wanted: readonly WantedAddress[],
  { ownPids, withinMs }: { readonly ownPids: () => readonly number[]; readonly withinMs: number },
  clock: Clock,
  signal: AbortSignal,
): Promise<readonly TakenPort[] | "free" | "pending"> {
  const startMs = clock.monotonicMs();
  for (;;) {
    const { taken, isShared } = await findTaken(wanted, ownPids);
    if (taken.length === 0 || signal.aborted) return "free";
    const passedMs = clock.monotonicMs() - startMs;
    if (isShared && passedMs >= freedWithinMs) return await describeTaken(taken);
    if (passedMs >= withinMs) return "pending";
    await clock.delay(passedMs < freedWithinMs ? checkEveryMs : laterCheckEveryMs, signal).catch(() => undefined);
  }
}

interface Taken {
  readonly taken: readonly WantedAddress[];
  /** Whether Envoy listens at one of them too. */
  readonly isShared: boolean;
}

async function findTaken(wanted: readonly WantedAddress[], ownPids: () => readonly number[]): Promise<Taken> {
  const sockets = (await readListeningSockets()) ?? [];
  if (collisions(wanted, sockets).length === 0) return { taken: [], isShared: false };
  const own = await Promise.all(ownPids().map(readSocketInodes));
  const isOwn = ({ inode }: ListeningSocket): boolean => own.some((inodes) => inodes?.has(inode));
  const taken = collisions(
    wanted,
    sockets.filter((socket) => !isOwn(socket)),
  );
  return { taken, isShared: collisions(taken, sockets.filter(isOwn)).length > 0 };
}

/** The addresses at which one of the sockets listens too. */
export function collisions(
  wanted: readonly WantedAddress[],
  sockets: readonly Pick<ListeningSocket, "ip" | "port">[],
): readonly WantedAddress[] {
  return wanted.filter(({ host, port }) => {
    const own = ipBytes(host);
    if (own === undefined) return false;
    return sockets.some((socket) => socket.port === port && isSameAddress(own, socket.ip));
  });
}

function isSameAddress(own: Uint8Array, other: Uint8Array): boolean {
  if (own.length !== other.length) return false;
  return isWildcard(own) || isWildcard(other) || Buffer.compare(own, other) === 0;
}

function isWildcard(ip: Uint8Array): boolean {
  return ip.every((byte) => byte === 0);
}

async function describeTaken(addresses: readonly WantedAddress[]): Promise<readonly TakenPort[]> {
  const settings = new Map(addresses.map(({ port, setting }) => [port, setting]));
  return await Promise.all(
    [...settings].map(async ([port, setting]) => ({ port, setting, holder: await readPortHolder(port) })),
  );
}
