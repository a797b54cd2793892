// SPDX-License-Identifier: Apache-2.0
import { isJsonObject, type JsonObject, textOf } from "../../lib/json.ts";
import { ConfigDumpError } from "./config-dump-error.ts";
import { type DumpElement, readElements } from "./elements.ts";
import type { LogLevelRow } from "./log-levels.ts";
import { camelCaseMessage } from "./proto-json.ts";
import { type Resource, type ResourceType, resourcesIn } from "./resources.ts";
import { redactMessage } from "./secret-values.ts";

/** Where a configuration is read from. All throw ConfigDumpError, and the signal's reason. */
export interface DumpSource {
  /** For headings and errors: `localhost:15020`, the name of a file. */
  readonly name: string;
  /**
   * Calls `visit` with each resource of a type, one after the other.
   * @param names regular expression (RE2) for the whole name; a source may ignore it
   */
  visitResources(type: ResourceType, names: string | undefined, visit: (resource: Resource) => void): Promise<void>;
  /** Calls `visit` with each `envoy.admin.v3.ClusterStatus`. */
  visitClusterStatuses(visit: (status: JsonObject) => void): Promise<void>;
  /** An `envoy.admin.v3.BootstrapConfigDump`. */
  readBootstrap(): Promise<JsonObject>;
  readLogLevels(): Promise<readonly LogLevelRow[]>;
}

/**
 * Reads the resources of a document that may hold more than them.
 * @param document with the field that it was requested by, if it was
 * @returns the types of its messages; empty texts for those without
 */
export async function visitDocument(
  type: ResourceType,
  document: { readonly chunks: AsyncIterable<Uint8Array>; readonly name: string; readonly field?: string },
  visit: (resource: Resource) => void,
): Promise<ReadonlySet<string>> {
  const types = new Set<string>();
  for await (const element of readElements(document.chunks, document.name)) {
    types.add(textOf(element.message["@type"]));
    for (const resource of resourcesIn(type, element, document.field)) visit(resource);
  }
  return types;
}

/** As `visitDocument`. A list without a root is what `attache config` and istioctl print. */
export async function visitStatuses(
  chunks: AsyncIterable<Uint8Array>,
  name: string,
  visit: (status: JsonObject) => void,
): Promise<void> {
  for await (const { member, message } of readElements(chunks, name)) {
    if (/^(cluster_statuses|clusterStatuses|endpoints)?$/.test(member)) visit(redactMessage(camelCaseMessage(message)));
  }
}

/** @throws ConfigDumpError `missing` */
export async function findBootstrap(chunks: AsyncIterable<Uint8Array>, name: string): Promise<JsonObject> {
  for await (const element of readElements(chunks, name)) {
    const found = bootstrapOf(element);
    if (found !== undefined) return found;
  }
  throw new ConfigDumpError("missing", `${name} has no bootstrap`);
}

/** The section of a dump; or the one message of a document that has no other, as `attache config` prints it. */
function bootstrapOf({ member, message }: DumpElement): JsonObject | undefined {
  const isBare = member === "bootstrap" && !isJsonObject(message["bootstrap"]);
  const camel = redactMessage(camelCaseMessage(isBare ? { bootstrap: message } : message));
  return isJsonObject(camel["bootstrap"]) ? camel : undefined;
}
