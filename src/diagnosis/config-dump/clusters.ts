// SPDX-License-Identifier: Apache-2.0
import { type JsonObject, objectOf, objectsOf, textOf } from "../../lib/json.ts";
import { describeOrigin, parseClusterName } from "./names.ts";

/** One line of the table of clusters. */
export interface ClusterRow {
  readonly name: string;
  readonly serviceFqdn: string;
  /** `-` for a cluster whose name has none. */
  readonly port: string;
  readonly subset: string;
  readonly direction: string;
  readonly type: string;
  readonly destinationRule: string;
}

/** Each one that is not empty must match. */
export interface ClusterFilter {
  /** Part of the name. */
  readonly fqdn: string;
  readonly port: number;
  readonly subset: string;
  readonly direction: string;
}

export function clusterRow(cluster: JsonObject): ClusterRow {
  const name = textOf(cluster["name"]);
  const parsed = parseClusterName(name);
  const rest = { name, type: clusterType(cluster), destinationRule: describeOrigin(cluster) };
  if (parsed === undefined) return { ...rest, serviceFqdn: name, port: "-", subset: "-", direction: "-" };
  const { fqdn, port, subset, direction } = parsed;
  return { ...rest, serviceFqdn: fqdn, port: String(port), subset: subset || "-", direction };
}

/** A cluster of an extension has the name of that in place of a type. */
function clusterType(cluster: JsonObject): string {
  const extension = textOf(objectOf(cluster["clusterType"])["name"]);
  return textOf(cluster["type"]) || extension || "STATIC";
}

/** Source: istioctl, which compares with the whole name. Names without a port are matched by their endpoints' ports. */
export function matchesCluster(cluster: JsonObject, { fqdn, port, subset, direction }: ClusterFilter): boolean {
  const name = textOf(cluster["name"]);
  if (![fqdn, subset, direction].every((part) => name.includes(part))) return false;
  if (port === 0) return true;
  return parseClusterName(name) === undefined ? endpointPorts(cluster).includes(port) : hasPort(name, port);
}

function hasPort(name: string, port: number): boolean {
  return name.includes(`|${String(port)}|`) || name.includes(`_.${String(port)}_.`);
}

function endpointPorts(cluster: JsonObject): readonly unknown[] {
  return objectsOf(objectOf(cluster["loadAssignment"])["endpoints"])
    .flatMap((locality) => objectsOf(locality["lbEndpoints"]))
    .map(({ endpoint }) => objectOf(objectOf(objectOf(endpoint)["address"])["socketAddress"])["portValue"]);
}
