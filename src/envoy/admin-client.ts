// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";
import type { Budgets } from "../model/limits.ts";
import { HttpError, type HttpRequest, type HttpResponse, requestHttp } from "../lib/net/http-client.ts";
import {
  type EnvoyCertificates,
  type EnvoyServerInfo,
  type EnvoyTraffic,
  parseCertificates,
  parseServerInfo,
  parseTraffic,
  trafficFilter,
} from "./admin-responses.ts";
import { type EnvoyAdminAddress, socketAddress } from "../model/bootstrap-facts.ts";
import type { DrainConfig } from "./envoy-config.ts";
import { EnvoyAdminError } from "./envoy-errors.ts";

const defaultTimeoutMs = 1_000;
/** Without a budget, which the start of a next Envoy does not have: it reads the server information only. */
const serverInfoBytes = 1024 * 1024;

export interface DrainOrder {
  readonly direction: DrainConfig["direction"];
  /** The listeners stay open until Envoy is terminated, as for the preStop hook of a native sidecar. */
  readonly openEnded: boolean;
}

/** Envoy's admin interface. Each call has its own connection and deadline. All throw EnvoyAdminError. */
export interface EnvoyAdmin {
  serverInfo(signal?: AbortSignal): Promise<EnvoyServerInfo>;
  /** The text of `/stats?usedonly` for names that match the regular expression. Default timeout 1,000 ms. */
  stats(filter: string, limits?: { readonly timeoutMs?: number }, signal?: AbortSignal): Promise<string>;
  /** The certificates that Envoy has loaded, one entry for each TLS context. */
  certs(signal?: AbortSignal): Promise<readonly EnvoyCertificates[]>;
  /** Has Envoy tell its clients to close their connections; the request depends on Envoy's version. */
  drainListeners(order: DrainOrder, signal?: AbortSignal): Promise<void>;
  /** Connections and requests. @returns undefined when Envoy shows no such stat; see `parseTraffic` */
  traffic(uncountedPorts: readonly number[], signal?: AbortSignal): Promise<EnvoyTraffic | undefined>;
  /** Any other call. Default timeout 1,000 ms, default limit that of the budget. @returns the response's body */
  request(
    method: "GET" | "POST",
    path: string,
    limits?: { readonly timeoutMs?: number; readonly maxBytes?: number },
    signal?: AbortSignal,
  ): Promise<string>;
}

/**
 * Opens no connection before the first call.
 * @param addressNow the present address; a hot restart may change it
 * @param budgets undefined: only the server information is read
 */
export function createEnvoyAdmin(
  addressNow: EnvoyAdminAddress | (() => EnvoyAdminAddress),
  { clock, budgets }: { readonly clock: Clock; readonly budgets?: Budgets },
): EnvoyAdmin {
  const responseBytes = budgets?.of("envoy-admin-response-bytes");
  const request: EnvoyAdmin["request"] = async (method, path, limits = {}, signal) => {
    const timeoutMs = limits.timeoutMs ?? defaultTimeoutMs;
    const maxBytes = limits.maxBytes ?? responseBytes?.size ?? serverInfoBytes;
    const address = typeof addressNow === "function" ? addressNow() : addressNow;
    try {
      return await callAdmin(address, { method, path, timeoutMs, maxBytes }, clock, signal);
    } catch (error) {
      // Counts it, which logs the budget's name.
      if (error instanceof EnvoyAdminError && error.failure === "too-large") responseBytes?.admits(maxBytes + 1);
      throw error;
    }
  };
  const stats: EnvoyAdmin["stats"] = (filter, limits, signal) =>
    request("GET", `/stats?usedonly&filter=${filter}`, limits, signal);
  return {
    request,
    stats,
    serverInfo: async (signal) => parseServerInfo(await request("GET", "/server_info", {}, signal)),
    certs: async (signal) => parseCertificates(await request("GET", "/certs", {}, signal)),
    async drainListeners(order, signal) {
      const skipExit = order.openEnded || (await needsSkipExit(request, signal));
      await request("POST", drainPath(order.direction, skipExit), {}, signal);
    },
    traffic: async (uncountedPorts, signal) => parseTraffic(await stats(trafficFilter, {}, signal), uncountedPorts),
  };
}

interface AdminCall {
  readonly method: "GET" | "POST";
  /** Path and query as sent. */
  readonly path: string;
  /** From connecting to the last byte of the response. */
  readonly timeoutMs: number;
  /** Limit of the response's body. */
  readonly maxBytes: number;
}

/**
 * Makes one call on a connection of its own.
 * @returns the body of a 200 response
 * @throws EnvoyAdminError, also when the response is not complete in time; the signal's reason when it aborts
 */
async function callAdmin(
  address: EnvoyAdminAddress,
  { method, path, timeoutMs, maxBytes }: AdminCall,
  clock: Clock,
  signal?: AbortSignal,
): Promise<string> {
  const name = `${method} ${path.split("?")[0] ?? path}`;
  const request = { ...adminUrl(address, path), method, deadline: { clock, timeoutMs }, maxBodyBytes: maxBytes };
  let response: HttpResponse;
  try {
    response = await requestHttp(request, signal);
  } catch (cause) {
    if (!(cause instanceof HttpError)) throw cause;
    if (cause.failure === "too-many-redirects" || cause.failure === "insecure") throw cause;
    // The admin interface speaks no TLS.
    throw new EnvoyAdminError(cause.failure === "tls" ? "unreachable" : cause.failure, name, { cause });
  }
  if (response.status !== 200) throw new EnvoyAdminError("status", name, { status: response.status });
  return response.text();
}

/** On a Unix socket, the name of the host is any. */
function adminUrl(address: EnvoyAdminAddress, path: string): Pick<HttpRequest, "url" | "connection"> {
  if (!("socketPath" in address)) return { url: { ...address, path } };
  const socketPath = socketAddress(address.socketPath);
  return { url: { host: "localhost", port: 80, path }, connection: () => ({ socketPath }) };
}

/** An Envoy that does not report its version in this time is treated as an older one. */
const versionTimeoutMs = 300;

async function needsSkipExit(request: EnvoyAdmin["request"], signal?: AbortSignal): Promise<boolean> {
  try {
    const info = parseServerInfo(await request("GET", "/server_info", { timeoutMs: versionTimeoutMs }, signal));
    return exitsAfterDrain(info.version);
  } catch {
    signal?.throwIfAborted();
    return false;
  }
}

/**
 * Whether Envoy of this version exits or closes its listeners after its drain time, unless the request has `skip_exit`.
 * Source: Envoy's release notes of 1.37; observed with Envoy 1.40: without it the listeners close
 */
export function exitsAfterDrain(version: string): boolean {
  const [major = 0, minor = 0] = version.split(".").map(Number);
  return major > 1 || (major === 1 && minor >= 37);
}

/** Path and query of the drain request. Source: Envoy's admin documentation */
export function drainPath(direction: DrainOrder["direction"], skipExit: boolean): string {
  return `/drain_listeners?${direction === "inbound" ? "inboundonly&" : ""}graceful${skipExit ? "&skip_exit" : ""}`;
}
