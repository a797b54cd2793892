// SPDX-License-Identifier: Apache-2.0
import type { JsonObject } from "../lib/json.ts";

/** What kind of proxy Envoy is. `router` is a gateway. */
export type ProxyRole = "sidecar" | "router" | "waypoint" | "ztunnel" | "agentgateway";

export const proxyRoles: readonly ProxyRole[] = ["sidecar", "router", "waypoint", "ztunnel", "agentgateway"];

export interface Locality {
  /** Each part is empty when it is not known. */
  readonly region: string;
  readonly zone: string;
  readonly subZone: string;
}

/** How this proxy presents itself to the control plane, and to Envoy in its bootstrap. */
export interface NodeIdentity {
  /** `ROLE~IP~NAME.NAMESPACE~DOMAIN` */
  readonly id: string;
  /** Envoy's `node.cluster`. */
  readonly cluster: string;
  readonly locality: Locality;
  /** Typed fields and every other `ISTIO_META_` value. */
  readonly metadata: JsonObject;
  /** The keys of `metadata` that are typed fields: what a gRPC bootstrap carries. */
  readonly typedMetadata: JsonObject;
  /** The pod's addresses, the node IP first. Never empty. */
  readonly ips: readonly string[];
  readonly name: string;
  readonly namespace: string;
  readonly domain: string;
}
