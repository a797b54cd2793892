// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/clock.ts";
import { type EnvoyCertificates, type EnvoyServerInfo, parseCertificates, parseServerInfo } from "./admin-answers.ts";
import { callAdmin } from "./admin-http.ts";
import type { DrainConfig, EnvoyAdminAddress } from "./envoy-config.ts";
import { type OpenConnections, openConnectionsFilter, parseOpenConnections } from "./open-connections.ts";

const usualTimeoutMs = 1_000;
const usualMaxBytes = 16 * 1024 * 1024;

/** Envoy's admin interface. Each call opens its own connection and has its own deadline. All throw EnvoyAdminError. */
export interface EnvoyAdmin {
  serverInfo(signal?: AbortSignal): Promise<EnvoyServerInfo>;
  /** The text of `/stats?usedonly` for the names that match the regular expression. Default time 1,000 ms. */
  stats(filter: string, limits?: { readonly timeoutMs?: number }, signal?: AbortSignal): Promise<string>;
  /** The certificates Envoy has loaded, one entry for each TLS context. */
  certs(signal?: AbortSignal): Promise<readonly EnvoyCertificates[]>;
  /** Asks clients to go elsewhere; listeners stay open and serve until Envoy is ended. */
  drainListeners(direction: DrainConfig["direction"], signal?: AbortSignal): Promise<void>;
  /** @returns undefined when Envoy shows no such stat; see `parseOpenConnections` */
  openConnections(
    uncountedPorts: readonly number[],
    signal?: AbortSignal,
  ): Promise<readonly OpenConnections[] | undefined>;
  /** Any other call; the body of its answer. Default time 1,000 ms, default size 16 MiB. */
  request(
    method: "GET" | "POST",
    path: string,
    limits?: { readonly timeoutMs?: number; readonly maxBytes?: number },
    signal?: AbortSignal,
  ): Promise<string>;
}

/** A client of the admin interface at `address`; nothing is opened before the first call. */
export function createEnvoyAdmin(address: EnvoyAdminAddress, deps: { readonly clock: Clock }): EnvoyAdmin {
  const request: EnvoyAdmin["request"] = (method, path, limits = {}, signal) =>
    callAdmin(
      address,
      { method, path, timeoutMs: limits.timeoutMs ?? usualTimeoutMs, maxBytes: limits.maxBytes ?? usualMaxBytes },
      deps.clock,
      signal,
    );
  const stats: EnvoyAdmin["stats"] = (filter, limits, signal) =>
    request("GET", `/stats?usedonly&filter=${filter}`, limits, signal);
  return {
    request,
    stats,
    serverInfo: async (signal) => parseServerInfo(await request("GET", "/server_info", {}, signal)),
    certs: async (signal) => parseCertificates(await request("GET", "/certs", {}, signal)),
    async drainListeners(direction, signal) {
      await request("POST", drainPath(direction), {}, signal);
    },
    openConnections: async (uncountedPorts, signal) =>
      parseOpenConnections(await stats(openConnectionsFilter, {}, signal), uncountedPorts),
  };
}

/**
 * The drain request. `skip_exit` keeps the listeners open when the drain time is over, so that no client that comes
 * late is refused, and keeps an Envoy of 1.37 or later from ending itself; an Envoy that does not know it ignores it.
 * Source: Envoy's admin documentation; observed with Envoy 1.40: without it the listeners close after --drain-time-s
 */
export function drainPath(direction: DrainConfig["direction"]): string {
  return `/drain_listeners?${direction === "inbound" ? "inboundonly&" : ""}graceful&skip_exit`;
}
