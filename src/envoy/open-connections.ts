// SPDX-License-Identifier: Apache-2.0
import { parseStats } from "./stats.ts";

/** Connections that clients hold open on one of Envoy's listeners. */
export interface OpenConnections {
  /** As Envoy names it in its stats: an address such as `0.0.0.0_15006` or `[__]_15006`, or its stat prefix. */
  readonly listener: string;
  readonly connections: number;
}

/** The filter of `/stats` that `parseOpenConnections` reads. */
export const openConnectionsFilter = "downstream_cx_active$";

/**
 * The user listeners with connections open, most connections first. Left out are Envoy's own: the admin interface,
 * internal listeners, the sums by worker (already part of their listener's), and the listeners on `uncountedPorts`
 * (probes and metrics), whatever address they are bound to.
 * @returns undefined when the answer has no such stat at all: no listener ever had a connection, or none is up yet
 * Source: the reference's drain loop as in its documentation; names observed with Envoy 1.40, IPv4 and IPv6
 */
export function parseOpenConnections(
  text: string,
  uncountedPorts: readonly number[],
): readonly OpenConnections[] | undefined {
  const stats = parseStats(text);
  if (stats.size === 0) return undefined;
  const open: OpenConnections[] = [];
  for (const [name, connections] of stats) {
    const listener = /^listener\.(.+)\.downstream_cx_active$/.exec(name)?.[1];
    if (listener === undefined || connections <= 0) continue;
    if (isCounted(listener, uncountedPorts)) open.push({ listener, connections });
  }
  return open.sort((a, b) => b.connections - a.connections);
}

/** All connections together. */
export function sumConnections(open: readonly OpenConnections[]): number {
  return open.reduce((sum, { connections }) => sum + connections, 0);
}

function isCounted(listener: string, uncountedPorts: readonly number[]): boolean {
  if (/(^|\.)worker_\d+$/.test(listener) || listener.endsWith(".main_thread")) return false;
  if (listener === "admin" || listener.startsWith("envoy_internal_")) return false;
  const port = /^[0-9a-f.:_[\]]+_(\d+)$/i.exec(listener)?.[1];
  return port === undefined || !uncountedPorts.includes(Number(port));
}
