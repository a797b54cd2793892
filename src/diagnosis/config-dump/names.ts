// SPDX-License-Identifier: Apache-2.0
import { type JsonObject, objectOf, textOf } from "../../lib/json.ts";

/** The parts of a name such as `outbound|9080|v1|reviews.default.svc.cluster.local`. */
export interface ClusterName {
  readonly direction: string;
  readonly port: number;
  readonly subset: string;
  readonly fqdn: string;
}

/**
 * Parses the name that istiod gives a cluster.
 * @returns undefined for any other name
 * Source: istio pilot/pkg/model, ParseSubsetKey; names of the DNS SRV form are of gateways in AUTO_PASSTHROUGH mode
 */
export function parseClusterName(name: string): ClusterName | undefined {
  const separator = /^(outbound|inbound)_\./.test(name) ? "_." : "|";
  const [direction, port, subset, ...rest] = name.split(separator);
  if (direction === undefined || port === undefined || subset === undefined || rest.length === 0) return undefined;
  const number = /^[+-]?\d+$/.test(port) ? Number(port) : 0;
  return { direction, port: number, subset, fqdn: rest.length === 1 ? (rest[0] ?? "") : "" };
}

/** The order of istioctl's tables: service, subset, port, direction. */
export function compareClusterNames(first: string, second: string): number {
  const [a, b] = [sortKey(first), sortKey(second)];
  if (a.fqdn !== b.fqdn) return a.fqdn < b.fqdn ? -1 : 1;
  if (a.subset !== b.subset) return a.subset < b.subset ? -1 : 1;
  if (a.port !== b.port) return a.port - b.port;
  if (a.direction === b.direction) return 0;
  return a.direction < b.direction ? -1 : 1;
}

function sortKey(name: string): ClusterName {
  return parseClusterName(name) ?? { direction: "", port: 0, subset: "", fqdn: name };
}

const apiPrefix = "/apis/networking.istio.io/";

/** `NAME.NAMESPACE` of the Istio resource that a cluster or route was made from; empty when none is named. */
export function describeOrigin({ metadata }: JsonObject): string {
  const istio = objectOf(objectOf(objectOf(metadata)["filterMetadata"])["istio"]);
  if (istio["config"] === undefined) return "";
  const path = textOf(istio["config"]);
  if (!path.startsWith(apiPrefix)) return "<unknown>";
  const pieces = path.split("/");
  return pieces.length === 8 ? `${pieces[7] ?? ""}.${pieces[5] ?? ""}` : "";
}
