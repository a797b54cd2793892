// SPDX-License-Identifier: Apache-2.0
import { isJsonList, isJsonObject, type JsonObject, listOf, objectOf, objectsOf, textOf } from "../../lib/json.ts";
import type { DumpElement } from "./elements.ts";
import { camelCase, camelCaseMessage } from "./proto-json.ts";
import { redactMessage } from "./secret-values.ts";

/** What Envoy does with a resource. `rejected`: the last update of it, which is not in use. */
export type ResourceState = "active" | "static" | "warming" | "draining" | "rejected";

/** A resource of Envoy's configuration, with names as in Protobuf's JSON mapping and without secrets. */
export interface Resource {
  readonly state: ResourceState;
  readonly config: JsonObject;
  /** As the control plane sent it; empty when unknown. */
  readonly version: string;
  /** RFC 3339; empty when unknown. */
  readonly lastUpdated: string;
  /** Why the update was rejected, in Envoy's words; else empty. */
  readonly problem: string;
}

/** The fields of Envoy's dump that have resources, by the type of resource. Source: envoy.admin.v3 */
export const dumpFields = {
  clusters: ["dynamic_active_clusters", "dynamic_warming_clusters", "static_clusters"],
  listeners: ["dynamic_listeners", "static_listeners"],
  routes: ["dynamic_route_configs", "static_route_configs"],
  secrets: ["dynamic_active_secrets", "dynamic_warming_secrets", "static_secrets"],
  eds: ["dynamic_endpoint_configs", "static_endpoint_configs"],
  ecds: ["ecds_filters"],
} as const;

export type ResourceType = keyof typeof dumpFields;

/** The member of an entry that has the resource. */
const resourceMember: Readonly<Record<ResourceType, string>> = {
  clusters: "cluster",
  listeners: "listener",
  routes: "routeConfig",
  secrets: "secret",
  eds: "endpointConfig",
  ecds: "ecdsFilter",
};

/** The message of `envoy.admin.v3` that has the resources of a type. */
export const sectionType: Readonly<Record<ResourceType, string>> = {
  clusters: "ClustersConfigDump",
  listeners: "ListenersConfigDump",
  routes: "RoutesConfigDump",
  secrets: "SecretsConfigDump",
  eds: "EndpointsConfigDump",
  ecds: "EcdsConfigDump",
};

/** The types of messages in a list of resources, which istioctl and `attache config` print. */
const listedType: Readonly<Record<ResourceType, RegExp>> = {
  clusters: /\.Cluster$/,
  listeners: /\.Listener$/,
  routes: /\.RouteConfiguration$/,
  secrets: /\.Secret$/,
  eds: /\.ClusterLoadAssignment$/,
  ecds: /\.TypedExtensionConfig$/,
};

/**
 * The resources in an element of a dump: a whole section, one entry of a section (`?resource=`), or one resource.
 * @param field that the element was requested by; undefined: it is part of a whole dump
 */
export function* resourcesIn(
  type: ResourceType,
  { member, message }: DumpElement,
  field?: string,
): Generator<Resource> {
  const typeUrl = textOf(message["@type"]);
  const [, section, entry] = /\.(\w+ConfigDump)(?:\.(\w+))?$/.exec(typeUrl) ?? [];
  if (section !== undefined && section !== sectionType[type]) return;
  const element = redactMessage(camelCaseMessage(message));
  const fields = dumpFields[type].map(camelCase);
  if (field !== undefined) yield* entryResources(type, camelCase(field), element);
  else if (entry !== undefined) yield* entryResources(type, entry.startsWith("Static") ? "static" : "active", element);
  else if (fields.includes(camelCase(member))) yield* entryResources(type, camelCase(member), element);
  else if (member === type || (member === "" && (typeUrl === "" || listedType[type].test(typeUrl)))) {
    yield* listedResource(type, element, fields);
  } else yield* sectionResources(type, element, fields);
}

/** One of a list; or a section, as a document of all sections has it. */
function* listedResource(type: ResourceType, config: JsonObject, fields: readonly string[]): Generator<Resource> {
  if (fields.some((name) => isJsonList(config[name]))) yield* sectionResources(type, config, fields);
  else yield { state: "active", config, version: "", lastUpdated: "", problem: "" };
}

function* sectionResources(type: ResourceType, section: JsonObject, fields: readonly string[]): Generator<Resource> {
  for (const name of fields) {
    for (const entry of objectsOf(section[name])) yield* entryResources(type, name, entry);
  }
}

function* entryResources(type: ResourceType, field: string, entry: JsonObject): Generator<Resource> {
  const member = resourceMember[type];
  const base = stateOf(field);
  if (type === "listeners" && base === "active") yield* listenerStates(entry);
  else if (isJsonObject(entry[member])) yield resourceOf(base, entry, objectOf(entry[member]), entry);
  if (isJsonObject(entry["errorState"])) yield rejection(entry, member);
}

/** A dynamic listener is active, warming and draining in different versions at the same time. */
function* listenerStates(entry: JsonObject): Generator<Resource> {
  for (const state of ["active", "warming", "draining"] as const) {
    const found = entry[`${state}State`];
    if (isJsonObject(found)) yield resourceOf(state, found, objectOf(found["listener"]), entry);
  }
}

function rejection(entry: JsonObject, member: string): Resource {
  const error = objectOf(entry["errorState"]);
  const failed = objectOf(error["failedConfiguration"]);
  const config = { name: entry["name"] ?? objectOf(entry[member])["name"] ?? "", ...failed };
  return {
    state: "rejected",
    config,
    version: textOf(error["versionInfo"]),
    lastUpdated: textOf(error["lastUpdateAttempt"]),
    problem: textOf(error["details"]),
  };
}

function resourceOf(state: ResourceState, version: JsonObject, config: JsonObject, entry: JsonObject): Resource {
  const name = entry["name"];
  return {
    state,
    config: config["name"] === undefined && typeof name === "string" ? { ...config, name } : config,
    version: textOf(version["versionInfo"]),
    lastUpdated: textOf(version["lastUpdated"]),
    problem: "",
  };
}

function stateOf(field: string): ResourceState {
  if (field.startsWith("static")) return "static";
  return field.includes("Warming") ? "warming" : "active";
}

/** Whether Envoy uses it. */
export function isInUse({ state }: Resource): boolean {
  return state === "active" || state === "static";
}

/** The texts of a list, joined. */
export function joined(list: JsonObject[string] | undefined, separator: string): string {
  return listOf(list)
    .map((item) => textOf(item))
    .join(separator);
}
