// SPDX-License-Identifier: Apache-2.0
import { type JsonObject, type JsonValue, objectOf, objectsOf, textOf } from "../lib/json.ts";

/**
 * Where Envoy's admin interface is: a host without brackets, or the path of a Unix socket (`@name`: an abstract one).
 * `mode` is that of a socket which the agent chose.
 */
export type EnvoyAdminAddress =
  | { readonly host: string; readonly port: number }
  | { readonly socketPath: string; readonly mode?: number };

/**
 * What Envoy is configured to receive before it serves. `known`: whether clusters (CDS) and listeners (LDS) are dynamic.
 * `hidden`: the bootstrap keeps no statistics about it. `unknown`: the bootstrap could not be read.
 */
export type ExpectedUpdates =
  | { readonly kind: "known"; readonly clusters: boolean; readonly listeners: boolean }
  | { readonly kind: "hidden" }
  | { readonly kind: "unknown" };

/** Both, as in the bootstrap that the agent generates. */
export const bothExpected: ExpectedUpdates = { kind: "known", clusters: true, listeners: true };

/** An `envoy.config.core.v3.Address`. */
export function renderAdminAddress(admin: EnvoyAdminAddress): JsonObject {
  if ("socketPath" in admin) {
    const { socketPath: path, mode } = admin;
    return { pipe: mode === undefined ? { path } : { path, mode } };
  }
  return { socket_address: { address: admin.host, port_value: admin.port } };
}

/** A path of Envoy's as the system knows it: an abstract socket begins with a zero byte. */
export function socketAddress(path: string): string {
  return path.replace(/^@/, "\0");
}

/** The admin interface of a bootstrap: `none` without one, `unusable` with one that has no fixed address. */
export type FoundAdmin =
  | { readonly kind: "found"; readonly address: EnvoyAdminAddress }
  | { readonly kind: "none" }
  | { readonly kind: "unusable" };

/**
 * The admin interface of documents that are merged in this order.
 * @param generated the address in the generated bootstrap, which the documents are merged over
 * Source: envoy.config.core.v3.Address
 */
export function findAdmin(documents: readonly JsonObject[], generated?: EnvoyAdminAddress): FoundAdmin {
  let found: FoundAdmin = generated === undefined ? { kind: "none" } : { kind: "found", address: generated };
  for (const document of documents) {
    const address = objectOf(member(objectOf(member(document, "admin")), "address"));
    const path = textOf(member(objectOf(member(address, "pipe")), "path"));
    const socket = member(address, "socket_address");
    if (path !== "") found = { kind: "found", address: { socketPath: path } };
    else if (socket !== undefined) found = mergeSocketAddress(objectOf(socket), found);
    else if (member(address, "envoy_internal_address") !== undefined) found = { kind: "unusable" };
  }
  return found;
}

function mergeSocketAddress(socket: JsonObject, before: FoundAdmin): FoundAdmin {
  const old = before.kind === "found" && "host" in before.address ? before.address : undefined;
  const given = textOf(member(socket, "address"));
  const host = given === "" ? old?.host : reachable(given);
  const portValue = member(socket, "port_value");
  const port = portValue === undefined ? old?.port : numberOf(portValue);
  if (host === undefined || port === undefined || !Number.isInteger(port) || port < 1) return { kind: "unusable" };
  return { kind: "found", address: { host, port } };
}

/** A server that listens on all addresses is reached over loopback. */
function reachable(host: string): string {
  if (host === "0.0.0.0") return "127.0.0.1";
  return /^(0*:)+0*$/.test(host) ? "::1" : host;
}

function numberOf(value: JsonValue): number {
  return Number(JSON.isRawJSON(value) ? value.rawJSON : typeof value === "string" ? value || Number.NaN : value);
}

const dynamicClusters = ["cds_config", "cds_resources_locator"];
const dynamicListeners = ["lds_config", "lds_resources_locator"];
/** Readiness is read from these. */
const neededStats = [
  "cluster_manager.cds.update_success",
  "listener_manager.lds.update_success",
  "listener_manager.workers_started",
  "server.state",
];

/**
 * What an Envoy with these documents, merged in this order, is configured to receive.
 * @param isGenerated whether they are merged over the generated bootstrap
 */
export function findExpectedUpdates(documents: readonly JsonObject[], isGenerated: boolean): ExpectedUpdates {
  if (hidesNeededStats(documents, isGenerated)) return { kind: "hidden" };
  if (isGenerated) return bothExpected;
  const has = (names: readonly string[]): boolean =>
    documents.some((document) => {
      const dynamic = objectOf(member(document, "dynamic_resources"));
      return names.some((name) => member(dynamic, name) !== undefined);
    });
  return { kind: "known", clusters: has(dynamicClusters), listeners: has(dynamicListeners) };
}

type StatsTest = (stat: string) => boolean;

/** Of a later document, a matcher of the same kind adds patterns, and another one replaces what was before. */
function hidesNeededStats(documents: readonly JsonObject[], isGenerated: boolean): boolean {
  let kind = isGenerated ? "inclusion_list" : "";
  let tests: readonly StatsTest[] = isGenerated ? [() => true] : [];
  for (const document of documents) {
    const matcher = objectOf(member(objectOf(member(document, "stats_config")), "stats_matcher"));
    for (const next of ["reject_all", "exclusion_list", "inclusion_list"]) {
      const value = member(matcher, next);
      if (value === undefined || value === false) continue;
      const patterns = objectsOf(member(objectOf(value), "patterns")).map(statsTest);
      tests = next === kind ? [...tests, ...patterns] : patterns;
      kind = next;
    }
  }
  const matches = (stat: string): boolean => tests.some((test) => test(stat));
  if (kind === "") return false;
  if (kind === "reject_all") return true;
  return neededStats.some((stat) => matches(stat) !== (kind === "inclusion_list"));
}

/** Source: envoy.type.matcher.v3.StringMatcher. An expression that JavaScript does not know matches nothing. */
function statsTest(pattern: JsonObject): StatsTest {
  const ignoresCase = member(pattern, "ignore_case") === true;
  const fold = (text: string): string => (ignoresCase ? text.toLowerCase() : text);
  const textOfPart = (name: string): string => fold(textOf(member(pattern, name)));
  const [exact, prefix, suffix, contains] = ["exact", "prefix", "suffix", "contains"].map(textOfPart);
  const regex = textOf(member(objectOf(member(pattern, "safe_regex")), "regex"));
  if (regex !== "") {
    const expression = tryRegExp(`^(?:${regex})$`);
    return (stat) => expression?.test(stat) === true;
  }
  return (stat) => {
    const text = fold(stat);
    if (exact) return text === exact;
    if (prefix) return text.startsWith(prefix);
    if (suffix) return text.endsWith(suffix);
    return contains ? text.includes(contains) : false;
  };
}

function tryRegExp(source: string): RegExp | undefined {
  try {
    return new RegExp(source);
  } catch {
    return undefined;
  }
}

/** A field by its name in protobuf, or by its name in JSON; undefined when it is absent or null. */
function member(object: JsonObject, name: string): JsonValue | undefined {
  const jsonName = name.replaceAll(/_(.)/g, (_, letter: string) => letter.toUpperCase());
  return object[name] ?? object[jsonName] ?? undefined;
}
