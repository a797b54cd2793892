// SPDX-License-Identifier: Apache-2.0
// Parsers for the responses of Envoy's admin interface.
import { type JsonObject, type JsonValue, listOf, objectOf, parseJson, textOf } from "../lib/json.ts";
import { EnvoyAdminError } from "./envoy-errors.ts";

export interface EnvoyServerInfo {
  /** Such as `1.40.0`; empty when the response has none. */
  readonly version: string;
  readonly state: string;
  readonly restartEpoch: number;
}

/** A certificate that Envoy has loaded, leaf or root. */
export interface EnvoyCertificate {
  /** Upper-case hexadecimal. */
  readonly serial: string;
  readonly uris: readonly string[];
  readonly notAfterMs: number;
}

/** The certificates of one TLS context. */
export interface EnvoyCertificates {
  readonly chain: readonly EnvoyCertificate[];
  readonly roots: readonly EnvoyCertificate[];
}

/** Connections that clients have open to one of Envoy's listeners. */
export interface OpenConnections {
  /** As in Envoy's stats: an address such as `0.0.0.0_15006` or `[__]_15006`, or the listener's stat prefix. */
  readonly listener: string;
  readonly connections: number;
}

/** What clients have open with Envoy. */
export interface EnvoyTraffic {
  readonly open: readonly OpenConnections[];
  /** Undefined where Envoy has no stats of requests: then every connection may have one. */
  readonly requests: RequestCounts | undefined;
}

/** Requests of all protocols of HTTP, without those of the admin interface, probes and metrics. */
export interface RequestCounts {
  /** In flight. A gRPC stream, a WebSocket and a CONNECT tunnel are each a request until they end. */
  readonly active: number;
  /** Since Envoy's start. */
  readonly total: number;
  /** Connections of other protocols, such as plain TCP and Redis: whether they are in use is not known. */
  readonly otherConnections: number;
}

/** Parses `/server_info`. @throws EnvoyAdminError `malformed` */
export function parseServerInfo(text: string): EnvoyServerInfo {
  const body = parseBody(text, "GET /server_info");
  const version = /\/(\d+\.\d+\.\d[^/]*)\//.exec(textOf(body["version"]))?.[1] ?? "";
  const epoch = objectOf(body["command_line_options"])["restart_epoch"];
  return { version, state: textOf(body["state"]), restartEpoch: typeof epoch === "number" ? epoch : 0 };
}

/** Parses `/certs`. @throws EnvoyAdminError `malformed` */
export function parseCertificates(text: string): readonly EnvoyCertificates[] {
  const body = parseBody(text, "GET /certs");
  return listOf(body["certificates"]).map((entry) => ({
    chain: listOf(objectOf(entry)["cert_chain"]).map(certificateOf),
    roots: listOf(objectOf(entry)["ca_cert"]).map(certificateOf),
  }));
}

function certificateOf(value: JsonValue): EnvoyCertificate {
  const entry = objectOf(value);
  const names = listOf(entry["subject_alt_names"]).map((name) => textOf(objectOf(name)["uri"]));
  return {
    serial: textOf(entry["serial_number"]).toUpperCase(),
    uris: names.filter((uri) => uri !== ""),
    notAfterMs: Date.parse(textOf(entry["expiration_time"])),
  };
}

/**
 * Parses the text form of `/stats`: one `name: value` per line. Lines whose value is not a number, such as histograms,
 * are left out. Of a repeated name the first line counts.
 */
export function parseStats(text: string): ReadonlyMap<string, number> {
  const stats = new Map<string, number>();
  for (const line of text.split("\n")) {
    const colon = line.lastIndexOf(": ");
    if (colon <= 0) continue;
    const name = line.slice(0, colon);
    const value = line.slice(colon + 2).trim();
    if (/^-?\d+$/.test(value) && !stats.has(name)) stats.set(name, Number(value));
  }
  return stats;
}

/** The filter of the `/stats` request whose response `parseTraffic` parses. */
export const trafficFilter = "downstream_(cx_active%7Crq_active%7Crq_total)$";

/**
 * Connections by listener and, if Envoy keeps stats of them, requests.
 * @returns undefined as `parseOpenConnections` does
 * Source: Envoy's stats of listeners and of HTTP connection managers; names observed with Envoy 1.40
 */
export function parseTraffic(text: string, uncountedPorts: readonly number[]): EnvoyTraffic | undefined {
  const open = parseOpenConnections(text, uncountedPorts);
  return open === undefined ? undefined : { open, requests: parseRequests(parseStats(text), uncountedPorts) };
}

/** The stat prefixes of the bootstrap's listeners for probes and metrics. Source: bootstrap/listeners.ts */
const uncountedPrefixes: ReadonlySet<string> = new Set(["agent", "stats", "secure_stats", "secure_merged_stats"]);

function parseRequests(
  stats: ReadonlyMap<string, number>,
  uncountedPorts: readonly number[],
): RequestCounts | undefined {
  // The request for these stats is one itself. Without it, the bootstrap does not keep stats of requests.
  if (!stats.has("http.admin.downstream_rq_active")) return undefined;
  let [connections, httpConnections, uncountedConnections] = [0, 0, 0];
  let [active, uncountedActive, total] = [0, 0, 0];
  for (const [name, value] of stats) {
    const [, kind, scope = "", stat] =
      /^(listener|http)\.(.+)\.downstream_(cx_active|rq_active|rq_total)$/.exec(name) ?? [];
    if (kind === "listener" && stat === "cx_active" && !isPartOfListener(scope)) {
      connections += value;
      if (isOnPort(scope, uncountedPorts)) uncountedConnections += value;
    } else if (kind === "http" && stat === "cx_active") httpConnections += value;
    else if (kind === "http" && scope !== "admin") {
      if (stat === "rq_active") {
        active += value;
        if (uncountedPrefixes.has(scope)) uncountedActive += value;
      } else if (!uncountedPrefixes.has(scope)) total += value;
    }
  }
  // A listener of the user may have the prefix of one of ours: no more is left out than our listeners can have.
  const uncounted = Math.min(uncountedActive, uncountedConnections);
  return { active: active - uncounted, total, otherConnections: Math.max(0, connections - httpConnections) };
}

/**
 * Listeners with open connections, most connections first. Left out are the admin interface, internal listeners, the
 * counts by worker (which are part of their listener's count), and listeners on `uncountedPorts` (probes and metrics),
 * whatever their address.
 * @returns undefined when the response has no such stat: no listener ever had a connection, or none is up yet
 * Source: the reference's drain loop as documented; names observed with Envoy 1.40, IPv4 and IPv6
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

/** The count of one thread is part of its listener's. */
function isPartOfListener(listener: string): boolean {
  return /(^|\.)worker_\d+$/.test(listener) || listener.endsWith(".main_thread");
}

function isCounted(listener: string, uncountedPorts: readonly number[]): boolean {
  if (isPartOfListener(listener)) return false;
  if (listener === "admin" || listener.startsWith("envoy_internal_")) return false;
  return !isOnPort(listener, uncountedPorts);
}

/** False for a listener whose name in the stats is not its address. */
function isOnPort(listener: string, ports: readonly number[]): boolean {
  const port = /^[0-9a-f.:_[\]]+_(\d+)$/i.exec(listener)?.[1];
  return port !== undefined && ports.includes(Number(port));
}

function parseBody(text: string, call: string): JsonObject {
  try {
    return objectOf(parseJson(text));
  } catch (cause) {
    throw new EnvoyAdminError("malformed", call, { cause });
  }
}
