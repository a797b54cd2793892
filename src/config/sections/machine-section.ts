// SPDX-License-Identifier: Apache-2.0
import { isIpv6 } from "../../lib/net/ip-address.ts";
import type { PlatformConfig } from "../../platform/platform.ts";
import type { Sources } from "../sources/sources.ts";
import type { Locality } from "../../model/node.ts";
import type { Environment } from "../sources/environment.ts";

/** Which cloud's metadata server is queried, and whether Envoy waits for its response. */
export function platformConfig({ env, node, findings }: Sources): PlatformConfig {
  const text = env.string("CLOUD_PLATFORM").toLowerCase();
  const kind = text === "aws" || text === "azure" || text === "gcp" || text === "none" ? text : "detect";
  if (kind === "detect" && text !== "") {
    findings.warn(
      "CLOUD_PLATFORM",
      `unknown platform ${JSON.stringify(text)}; use aws, azure, gcp or none; the platform is detected`,
    );
  }
  const isStatic = env.string("GCP_METADATA") !== "" && (kind === "gcp" || kind === "detect");
  const { region, zone } = node.locality;
  return {
    kind: isStatic ? "none" : kind,
    localityNeeded: kind !== "detect" && kind !== "none" && !isStatic && region === "" && zone === "",
    waitMs: env.durationMs("ATTACHE_PLATFORM_WAIT"),
    gceMetadataHost: env.string("GCE_METADATA_HOST") || "169.254.169.254",
    ipv6: node.ips.some((ip) => isIpv6(ip)),
  };
}

/** Facts of a cloud machine that need no metadata server. */
export interface StaticPlatform {
  readonly metadata: Readonly<Record<string, string>>;
  readonly locality: Locality;
}

/**
 * Google's facts from `GCP_METADATA`; undefined when it is not set or not complete.
 * Source: Istio's agent on GCP, static mode
 */
export function staticGcpPlatform(env: Environment, searchDomains: readonly string[]): StaticPlatform | undefined {
  const parts = env.string("GCP_METADATA").split("|");
  const [project = "", projectNumber = "", cluster = "", location = ""] = parts;
  if (parts.length !== 4) return undefined;
  const zone = env.string("GCP_ZONE") || zoneOfSearchDomains(searchDomains);
  const facts = {
    gcp_project: project,
    gcp_project_number: projectNumber,
    gcp_location: location,
    gcp_gke_cluster_name: cluster,
    gcp_gke_cluster_url:
      project !== "" && location !== "" && cluster !== ""
        ? `https://container.googleapis.com/v1/projects/${project}/locations/${location}/clusters/${cluster}`
        : "",
    gcp_quota_project: env.string("GCP_QUOTA_PROJECT"),
    gcp_zone: env.string("GCP_ZONE"),
  };
  return {
    metadata: Object.fromEntries(Object.entries(facts).filter(([, text]) => text !== "")),
    locality: { region: zone.replace(/-[^-]*$/, ""), zone, subZone: "" },
  };
}

/** The zone in a search domain of the resolver, such as `us-central1-c.c.PROJECT.internal`. */
function zoneOfSearchDomains(domains: readonly string[]): string {
  for (const domain of domains) {
    const match = /^([a-z]+-[a-z0-9]+-[a-z])\.c\.[^.]+(?:\.[^.]+)*\.internal$/.exec(domain);
    if (match?.[1] !== undefined) return match[1];
  }
  return "";
}
