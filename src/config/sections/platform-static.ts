// SPDX-License-Identifier: Apache-2.0
import type { Locality } from "../../model/node.ts";
import type { Environment } from "../sources/environment.ts";

/** What is known about the machine without asking anyone. */
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

/** `us-central1-c.c.PROJECT.internal` among the resolver's search domains tells the zone. */
function zoneOfSearchDomains(domains: readonly string[]): string {
  for (const domain of domains) {
    const match = /^([a-z]+-[a-z0-9]+-[a-z])\.c\.[^.]+(?:\.[^.]+)*\.internal$/.exec(domain);
    if (match?.[1] !== undefined) return match[1];
  }
  return "";
}
