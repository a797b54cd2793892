// SPDX-License-Identifier: Apache-2.0
import { type JsonObject, objectOf, objectsOf, textOf, textsOf } from "../../lib/json.ts";
import { numberOf, parsed, timeOf } from "./json-fields.ts";

/** The configuration that passes between the control plane and Envoy. */
export interface XdsStatus {
  readonly connected: boolean;
  /** Since when Envoy is served from the cache; undefined while it is not. */
  readonly cacheSince: string | undefined;
  readonly types: readonly XdsTypeStatus[];
}

export interface XdsTypeStatus {
  /** `CDS` */
  readonly type: string;
  readonly typeUrl: string;
  readonly state: string;
  /** In use. */
  readonly version: string;
  readonly versionSent: string;
  readonly lastSentAt: string | undefined;
  readonly lastAckedAt: string | undefined;
  readonly resourceCount: number | undefined;
  /** Set while the last update is rejected. */
  readonly rejection: XdsRejection | undefined;
}

export interface XdsRejection {
  readonly version: string;
  readonly since: string | undefined;
  readonly resources: readonly string[];
  readonly reason: string;
}

export function parseXds({ connected, cache, types }: JsonObject): XdsStatus {
  return {
    connected: connected === true,
    cacheSince: timeOf(objectOf(cache)["servingSince"]),
    types: objectsOf(types).map(parseXdsType),
  };
}

function parseXdsType(type: JsonObject): XdsTypeStatus {
  const typeUrl = textOf(type["typeUrl"]);
  return {
    type: shortTypeName(typeUrl),
    typeUrl,
    state: textOf(type["state"]),
    version: textOf(type["version"]),
    versionSent: textOf(type["versionSent"]),
    lastSentAt: timeOf(type["lastSentAt"]),
    lastAckedAt: timeOf(type["lastAckedAt"]),
    resourceCount: numberOf(type["resourceCount"]),
    rejection: parsed(type["refusal"], ({ version, since, resources, reason }) => ({
      version: textOf(version),
      since: timeOf(since),
      resources: textsOf(resources),
      reason: textOf(reason),
    })),
  };
}

/** By the last part of the type URL. Source: Envoy's xDS documentation; Istio's agent for NDS and PCDS */
const shortNames: ReadonlyMap<string, string> = new Map([
  ["Cluster", "CDS"],
  ["ClusterLoadAssignment", "EDS"],
  ["Listener", "LDS"],
  ["RouteConfiguration", "RDS"],
  ["ScopedRouteConfiguration", "SRDS"],
  ["VirtualHost", "VHDS"],
  ["Secret", "SDS"],
  ["Runtime", "RTDS"],
  ["TypedExtensionConfig", "ECDS"],
  ["NameTable", "NDS"],
  ["ProxyConfig", "PCDS"],
]);

/** An unknown type has its own name. */
function shortTypeName(typeUrl: string): string {
  const name = typeUrl.slice(Math.max(typeUrl.lastIndexOf("."), typeUrl.lastIndexOf("/")) + 1);
  return shortNames.get(name) ?? name;
}
