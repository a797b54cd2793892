// SPDX-License-Identifier: Apache-2.0
import { type JsonObject, objectOf, objectsOf, textOf } from "../../lib/json.ts";
import { type EnvoyAddress, readAddress } from "./addresses.ts";

/** One line of the table of endpoints. */
export interface EndpointRow {
  readonly endpoint: string;
  readonly status: string;
  readonly outlierCheck: "OK" | "FAILED";
  readonly cluster: string;
}

/** One line of the table of endpoints as the control plane sent them. */
export interface EdsRow {
  readonly name: string;
  readonly status: string;
  readonly locality: string;
  readonly cluster: string;
}

/** Each one that is not empty must match; letter case does not count. */
export interface EndpointFilter {
  readonly address: string;
  readonly port: number;
  readonly cluster: string;
  readonly status: string;
}

/** The endpoints of an `envoy.admin.v3.ClusterStatus`, as `/clusters?format=json` lists them. */
export function endpointRows(status: JsonObject, filter: EndpointFilter): readonly EndpointRow[] {
  const cluster = textOf(status["name"]);
  return objectsOf(status["hostStatuses"])
    .filter((host) => matchesHost(host, cluster, filter))
    .map((host) => {
      const health = objectOf(host["healthStatus"]);
      return {
        endpoint: renderEndpoint(readAddress(host["address"])),
        status: edsHealth(host),
        outlierCheck: health["failedOutlierCheck"] === true ? "FAILED" : "OK",
        cluster,
      };
    });
}

/** Whether the filter leaves something of a cluster. */
export function matchesClusterStatus(status: JsonObject, filter: EndpointFilter): boolean {
  const cluster = textOf(status["name"]);
  return objectsOf(status["hostStatuses"]).some((host) => matchesHost(host, cluster, filter));
}

/** By address, port and cluster. */
export function compareEndpoints(a: EndpointRow, b: EndpointRow): number {
  const [first, second] = [splitPort(a.endpoint), splitPort(b.endpoint)];
  if (first.host !== second.host) return first.host < second.host ? -1 : 1;
  if (first.port !== second.port) return first.port - second.port;
  if (a.cluster === b.cluster) return 0;
  return a.cluster < b.cluster ? -1 : 1;
}

function splitPort(endpoint: string): { readonly host: string; readonly port: number } {
  const [, host = endpoint, port = "0"] = /^(.*):(\d+)$/.exec(endpoint) ?? [];
  return { host, port: Number(port) };
}

function matchesHost(host: JsonObject, cluster: string, filter: EndpointFilter): boolean {
  const address = readAddress(host["address"]);
  return (
    isSame(hostText(address), filter.address) &&
    (filter.port === 0 || address.port === filter.port) &&
    isSame(cluster, filter.cluster) &&
    isSame(edsHealth(host), filter.status)
  );
}

function isSame(text: string, wanted: string): boolean {
  return wanted === "" || text.toLowerCase() === wanted.toLowerCase();
}

function edsHealth(host: JsonObject): string {
  return textOf(objectOf(host["healthStatus"])["edsHealthStatus"]) || "UNKNOWN";
}

function hostText({ host, kind }: EnvoyAddress): string {
  if (kind === "none") return "unknown";
  return kind === "pipe" ? `unix://${host}` : host;
}

/** Without brackets around an IPv6 address, as istioctl prints it. */
function renderEndpoint(address: EnvoyAddress): string {
  return address.port === 0 ? hostText(address) : `${hostText(address)}:${String(address.port)}`;
}

/** The endpoints of an `envoy.config.endpoint.v3.ClusterLoadAssignment`. */
export function edsRows(assignment: JsonObject, filter: EndpointFilter): readonly EdsRow[] {
  const cluster = textOf(assignment["clusterName"]);
  return objectsOf(assignment["endpoints"]).flatMap((group) => {
    return objectsOf(group["lbEndpoints"])
      .filter((endpoint) => matchesEds(endpoint, cluster, filter))
      .map((endpoint) => ({
        name: edsAddresses(endpoint).join(","),
        status: edsStatus(endpoint),
        locality: renderLocality(objectOf(group["locality"])),
        cluster,
      }));
  });
}

/** The assignment with the endpoints that the filter leaves; undefined without any. */
export function filterAssignment(assignment: JsonObject, filter: EndpointFilter): JsonObject | undefined {
  const cluster = textOf(assignment["clusterName"]);
  const endpoints = objectsOf(assignment["endpoints"]).map((group) => {
    const kept = objectsOf(group["lbEndpoints"]).filter((endpoint) => matchesEds(endpoint, cluster, filter));
    return { ...group, lbEndpoints: kept };
  });
  return endpoints.some(({ lbEndpoints }) => lbEndpoints.length > 0) ? { ...assignment, endpoints } : undefined;
}

function matchesEds(endpoint: JsonObject, cluster: string, filter: EndpointFilter): boolean {
  const addresses = edsAddresses(endpoint);
  const { port } = readAddress(objectOf(endpoint["endpoint"])["address"]);
  const wanted = filter.address;
  return (
    (wanted === "" || addresses.some((one) => isSame(one, wanted) || isSame(one.replace(/:\d+$/, ""), wanted))) &&
    (filter.port === 0 || port === filter.port) &&
    isSame(cluster, filter.cluster) &&
    isSame(edsStatus(endpoint), filter.status)
  );
}

function edsStatus(endpoint: JsonObject): string {
  return textOf(endpoint["healthStatus"]) || "UNKNOWN";
}

function edsAddresses({ endpoint }: JsonObject): readonly string[] {
  const { address, additionalAddresses } = objectOf(endpoint);
  return [address, ...objectsOf(additionalAddresses).map((one) => one["address"])].map((one) => {
    const read = readAddress(one);
    if (read.kind === "none") return "unknown";
    return read.kind === "socket" ? `${read.host}:${String(read.port)}` : read.host;
  });
}

function renderLocality({ region, zone, subZone }: JsonObject): string {
  const names = [textOf(region), textOf(zone), textOf(subZone)];
  const end = names.findIndex((name, index) => index > 0 && name === "");
  return (end < 0 ? names : names.slice(0, end)).join("/");
}
