// SPDX-License-Identifier: Apache-2.0
import { type MetadataGet, type PlatformFacts, knownFacts } from "./platform-facts.ts";

const headers = { "metadata-flavor": "Google" };

/**
 * The facts of a Google machine; undefined elsewhere.
 * Source: Google's compute metadata server, version 1
 */
export async function readGcp(get: MetadataGet): Promise<PlatformFacts | undefined> {
  const read = (path: string): Promise<string | undefined> => get(`/computeMetadata/v1/${path}`, { headers });
  const project = await read("project/project-id");
  if (project === undefined) return undefined;
  const [number, zonePath = "", cluster, clusterLocation, instance, id, template, createdBy] = await Promise.all([
    read("project/numeric-project-id"),
    read("instance/zone"),
    read("instance/attributes/cluster-name"),
    read("instance/attributes/cluster-location"),
    read("instance/name"),
    read("instance/id"),
    read("instance/attributes/instance-template"),
    read("instance/attributes/created-by"),
  ]);
  const zone = zonePath.slice(zonePath.lastIndexOf("/") + 1);
  const location = clusterLocation ?? zone;
  const url = `https://container.googleapis.com/v1/projects/${project}/locations/${location}/clusters/${cluster ?? ""}`;
  return {
    metadata: knownFacts({
      gcp_project: project,
      gcp_project_number: number,
      gcp_location: location,
      gcp_gke_cluster_name: cluster,
      gcp_gke_cluster_url: cluster === undefined || location === "" ? undefined : url,
      gcp_gce_instance: instance,
      gcp_gce_instance_id: id,
      gcp_gce_instance_template: template,
      gcp_gce_instance_created_by: createdBy,
    }),
    locality: { region: zone.replace(/-[^-]*$/, ""), zone, subZone: "" },
  };
}
