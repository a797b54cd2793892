// SPDX-License-Identifier: Apache-2.0
import { isJsonObject, type JsonObject, listOf, objectOf, parseJsonObject, textOf, textsOf } from "../lib/json.ts";
import type { Locality } from "../model/node.ts";
import type { MetadataGet } from "./metadata-server.ts";

/** The facts that a cloud has about the machine. */
export interface PlatformFacts {
  /** For the node's metadata, under Istio's names. */
  readonly metadata: Readonly<Record<string, string>>;
  readonly locality: Locality;
}

/**
 * The facts of an EC2 machine; undefined elsewhere. Uses a session token if the server issues one.
 * Source: EC2's instance metadata service, versions 1 and 2
 */
export async function readAws(get: MetadataGet): Promise<PlatformFacts | undefined> {
  const token = await get("/latest/api/token", {
    method: "PUT",
    headers: { "x-aws-ec2-metadata-token-ttl-seconds": "60" },
  });
  const headers = token === undefined ? {} : { "x-aws-ec2-metadata-token": token };
  const read = (path: string): Promise<string | undefined> => get(`/latest/meta-data/${path}`, { headers });
  const [region = "", zone = "", instanceId = ""] = await Promise.all([
    read("placement/region"),
    read("placement/availability-zone"),
    read("instance-id"),
  ]);
  if (region === "" && zone === "") return undefined;
  return {
    metadata: knownFacts({ aws_region: region, aws_availability_zone: zone, aws_instance_id: instanceId }),
    locality: { region, zone, subZone: "" },
  };
}

const gcpHeaders = { "metadata-flavor": "Google" };

/**
 * The facts of a Google Cloud machine; undefined elsewhere.
 * Source: Google's compute metadata server, version 1
 */
export async function readGcp(get: MetadataGet): Promise<PlatformFacts | undefined> {
  const read = (path: string): Promise<string | undefined> =>
    get(`/computeMetadata/v1/${path}`, { headers: gcpHeaders });
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

const azureHeaders = { metadata: "True" };
const oldestAzureVersion = "2019-08-15";
/** So many of the listed versions are tried. */
const mostAzureVersions = 3;

/**
 * The facts of an Azure machine; undefined elsewhere. Uses the newest API version that the server lists: one that rejects
 * a version lists the newest ones in a response with status 400.
 * Source: Azure's instance metadata service, "Supported API versions" and "Errors and debugging"
 */
export async function readAzure(get: MetadataGet): Promise<PlatformFacts | undefined> {
  const read = async (version: string): Promise<JsonObject | undefined> => {
    const path = `/metadata/instance?api-version=${version}`;
    return parseJsonObject((await get(path, { headers: azureHeaders, readBadRequest: true })) ?? "");
  };
  let document = await read(oldestAzureVersion);
  const listed = textsOf(document?.["newest-versions"]).filter((version) => /^[\w.-]+$/.test(version));
  for (const version of listed.toSorted().toReversed().slice(0, mostAzureVersions)) {
    const newer = await read(version);
    if (!isJsonObject(newer?.["compute"])) continue;
    document = newer;
    break;
  }
  const compute = document?.["compute"];
  if (!isJsonObject(compute)) return undefined;
  const text = (name: string): string => textOf(compute[name]);
  return {
    metadata: knownFacts({
      azure_name: text("name"),
      azure_location: text("location"),
      azure_vmId: text("vmId"),
      ...tagsOf(compute),
    }),
    locality: { region: text("location"), zone: text("zone"), subZone: "" },
  };
}

/** Tags are a list of names and values, or one text: `name:value;name:value`. */
function tagsOf(compute: JsonObject): Readonly<Record<string, string>> {
  const list = listOf(compute["tagsList"]).map(objectOf);
  const pairs =
    list.length > 0
      ? list.map((tag) => [textOf(tag["name"]), textOf(tag["value"])] as const)
      : textOf(compute["tags"])
          .split(";")
          .map((pair) => {
            const [name = "", ...value] = pair.split(":");
            return [name, value.join(":")] as const;
          });
  return Object.fromEntries(pairs.filter(([name]) => name !== "").map(([name, value]) => [`azure_${name}`, value]));
}

/** The facts that have a value. */
function knownFacts(facts: Readonly<Record<string, string | undefined>>): Readonly<Record<string, string>> {
  const known = Object.entries(facts).filter(
    (entry): entry is [string, string] => entry[1] !== undefined && entry[1] !== "",
  );
  return Object.fromEntries(known);
}
