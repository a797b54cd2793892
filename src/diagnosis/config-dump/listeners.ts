// SPDX-License-Identifier: Apache-2.0
import { type JsonObject, objectOf, objectsOf, textOf } from "../../lib/json.ts";
import { readAddress } from "./addresses.ts";
import { chainMatches } from "./filter-chain-match.ts";
import { joined } from "./resources.ts";
import { describeMatch, onlyCluster } from "./routes.ts";

/** One line of the table of listeners: a filter chain. */
export interface ListenerRow {
  readonly name: string;
  /** IP addresses, or the path of a socket. */
  readonly addresses: string;
  readonly port: number;
  readonly match: string;
  readonly destination: string;
}

/** Each one that is not empty must match. */
export interface ListenerFilter {
  readonly address: string;
  readonly port: number;
  /** `HTTP`, `TCP`, `HTTP+TCP` or `UNKNOWN`, in any letter case. */
  readonly type: string;
}

/** The rows of one listener, in istioctl's order: by destination, the last first. */
export function listenerRows(listener: JsonObject): readonly ListenerRow[] {
  const head = {
    name: textOf(listener["name"]),
    addresses: listenerAddresses(listener).join(","),
    port: listenerPort(listener),
  };
  return filterChains(listener)
    .flatMap((chain) => {
      const destination = describeFilters(objectsOf(chain["filters"]));
      return chainMatches(chain, listener).map((match) => ({ ...head, match, destination }));
    })
    .toSorted((a, b) => compareText(b.destination, a.destination));
}

export function matchesListener(listener: JsonObject, { address, port, type }: ListenerFilter): boolean {
  const hasAddress = listenerAddresses(listener).some((one) => one.toLowerCase() === address.toLowerCase());
  if (address !== "" && !hasAddress) return false;
  if (port !== 0 && listenerPort(listener) !== port) return false;
  return type === "" || listenerType(listener).toLowerCase() === type.toLowerCase();
}

/** By port, address and type. */
export function compareListeners(a: JsonObject, b: JsonObject): number {
  const [first, second] = [listenerAddresses(a)[0] ?? "", listenerAddresses(b)[0] ?? ""];
  return (
    listenerPort(a) - listenerPort(b) ||
    compareText(first, second) ||
    compareText(listenerType(a), listenerType(b)) ||
    compareText(textOf(a["name"]), textOf(b["name"]))
  );
}

export function compareText(a: string, b: string): number {
  if (a === b) return 0;
  return a < b ? -1 : 1;
}

export function listenerAddresses(listener: JsonObject): readonly string[] {
  const more = objectsOf(listener["additionalAddresses"]).map(({ address }) => readAddress(address).host);
  return [readAddress(listener["address"]).host, ...more];
}

export function listenerPort(listener: JsonObject): number {
  return readAddress(listener["address"]).port;
}

export function filterChains(listener: JsonObject): readonly JsonObject[] {
  const { filterChains: chains, defaultFilterChain } = listener;
  return [...objectsOf(chains), ...(defaultFilterChain === undefined ? [] : [objectOf(defaultFilterChain)])];
}

type FilterKind = "http" | "tcp" | "blackhole" | "other";

export function listenerType(listener: JsonObject): string {
  const filters = filterChains(listener).flatMap((chain) => objectsOf(chain["filters"]));
  const kinds = new Set(filters.map(filterKind));
  if (kinds.has("http")) return kinds.has("tcp") ? "HTTP+TCP" : "HTTP";
  return kinds.has("tcp") ? "TCP" : "UNKNOWN";
}

/** istioctl knows filters by name; names are free, so the type of the configuration counts too. */
function filterKind(filter: JsonObject): FilterKind {
  const config = objectOf(filter["typedConfig"]);
  const names = `${textOf(filter["name"])} ${textOf(config["@type"])}`;
  if (/http_connection_manager\b|\.HttpConnectionManager\b/.test(names)) return "http";
  if (!/tcp_proxy\b|\.TcpProxy\b/.test(names)) return "other";
  return JSON.stringify(config).includes("BlackHoleCluster") ? "blackhole" : "tcp";
}

function describeFilters(filters: readonly JsonObject[]): string {
  for (const filter of filters) {
    const kind = filterKind(filter);
    if (kind === "http") return describeHttp(objectOf(filter["typedConfig"]));
    if (kind === "tcp") return describeTcp(objectOf(filter["typedConfig"]));
  }
  return "Non-HTTP/Non-TCP";
}

function describeHttp({ routeConfig, rds, scopedRoutes }: JsonObject): string {
  if (routeConfig !== undefined) return describeRouteConfig(objectOf(routeConfig));
  const name = textOf(objectOf(rds)["routeConfigName"]);
  if (name !== "") return `Route: ${name}`;
  const scoped = textOf(objectOf(scopedRoutes)["name"]);
  return scoped === "" ? "HTTP" : `Scoped Routes: ${scoped}`;
}

function describeTcp({ cluster, weightedClusters }: JsonObject): string {
  const weighted = objectsOf(objectOf(weightedClusters)["clusters"]);
  if (weighted.length === 0) return describeCluster(textOf(cluster));
  return `Clusters: ${weighted.map(({ name, weight }) => `${textOf(name)} (${JSON.stringify(weight ?? 0)})`).join(", ")}`;
}

/** Istio's own clusters, such as `PassthroughCluster`, need no label. */
function describeCluster(name: string): string {
  return name.includes("Cluster") ? name : `Cluster: ${name}`;
}

function describeRouteConfig(config: JsonObject): string {
  const only = onlyCluster(config);
  if (only !== undefined) return describeCluster(only);
  const hosts = objectsOf(config["virtualHosts"]).map((host) => {
    const domains = joined(host["domains"], "/");
    const routes = objectsOf(host["routes"]).map(({ match }) => describeMatch(objectOf(match)));
    return domains === "*" ? routes.join(", ") : `${domains} ${routes.join(", ")}`;
  });
  return `Inline Route: ${hosts.join("; ")}`;
}
