// SPDX-License-Identifier: Apache-2.0
// JSON of Envoy's messages. Envoy prints the names of the protos (`connect_timeout`), istioctl those of Protobuf's JSON
// mapping (`connectTimeout`).
import { isJsonList, isJsonObject, type JsonObject, type JsonValue, textOf } from "../../lib/json.ts";

/**
 * Fields that are maps: the names in them are data. Their values are messages.
 * Source: Envoy's API, from which a test makes this list
 */
export const mapFields: ReadonlySet<string> = new Set([
  "allowedCapabilities",
  "args",
  "attributes",
  "bucket",
  "bucketIdBuilder",
  "certificateProviderInstances",
  "clusterMinHealthyPercentages",
  "contextExtensions",
  "customTags",
  "dynamicParameters",
  "extractionsByMethod",
  "filterStateObjects",
  "initialResourceVersions",
  "key",
  "keyValues",
  "labels",
  "loggingByMethod",
  "map",
  "namedEndpoints",
  "params",
  "paramsMatch",
  "policies",
  "providers",
  "requestFieldExtractions",
  "requestLoggingByField",
  "requirementMap",
  "requires",
  "responseLoggingByField",
  "sourceCodes",
  "typedExtensionProtocolOptions",
  "typedFilterMetadata",
  "typedPerFilterConfig",
]);

/** Fields that hold a document (`google.protobuf.Struct`): all names in them are data. */
export const structFields: ReadonlySet<string> = new Set([
  "aws",
  "base",
  "defaultSubset",
  "filterMetadata",
  "jsonFormat",
  "layer",
  "record",
  "staticLayer",
  "transportSocketMatchCriteria",
  "typedJsonFormat",
]);

/** Names of documents that are fields of other messages elsewhere, by the field that they stand in. */
const structsWithin: Readonly<Record<string, readonly string[]>> = {
  metadata: ["node", "userAgentBuildVersion", "version"],
  match: ["transportSocketMatches"],
  config: ["googleGrpc"],
};

/** Messages whose field of such a name is a map. In all others it is a message or a list. */
const mapsWithin: Readonly<Record<string, readonly string[]>> = {
  args: ["channelArgs"],
  attributes: ["typedConfig"],
  bucketIdBuilder: ["bucketIdBuilder"],
  customTags: [],
  key: [],
  map: ["exactMatchMap", "prefixMatchMap"],
  params: ["contextParams"],
  policies: ["rules", "shadowRules"],
  requires: ["filterStateRules"],
};

const typedStruct = /\.TypedStruct$/;

/** Changes the names of a message, as Envoy prints it, to those of Protobuf's JSON mapping. Other names stay. */
export function camelCaseMessage(message: JsonObject): JsonObject {
  return convert(message, "");
}

/** @param field that holds the message */
function convert(message: JsonObject, field: string): JsonObject {
  const isTypedStruct = typedStruct.test(textOf(message["@type"]));
  return Object.fromEntries(
    Object.entries(message).map(([given, value]) => {
      const name = camelCase(given);
      const isDocument = isStruct(name, field) || (isTypedStruct && name === "value");
      return [name, isDocument ? value : convertValue(value, name, field)];
    }),
  );
}

function convertValue(value: JsonValue, name: string, field: string): JsonValue {
  if (isJsonList(value)) return value.map((item) => convertValue(item, name, field));
  if (!isJsonObject(value)) return value;
  if (!isMap(name, field)) return convert(value, name);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, convertItem(item, key)]));
}

function convertItem(item: JsonValue, key: string): JsonValue {
  return isJsonObject(item) ? convert(item, key) : item;
}

function isStruct(name: string, field: string): boolean {
  return structFields.has(name) || structsWithin[name]?.includes(field) === true;
}

function isMap(name: string, field: string): boolean {
  return mapFields.has(name) && (mapsWithin[name]?.includes(field) ?? true);
}

/** A dump repeats few names many times. */
const knownNames = new Map<string, string>();
const mostKnownNames = 10_000;

/** The name of a field in JSON. Source: Protobuf's rule, which makes `consecutive5xx` of `consecutive_5xx` */
export function camelCase(name: string): string {
  if (!name.includes("_")) return name;
  const known = knownNames.get(name);
  if (known !== undefined) return known;
  const changed = name.replaceAll(/_(.)/g, (_, next: string) => next.toUpperCase());
  if (knownNames.size < mostKnownNames) knownNames.set(name, changed);
  return changed;
}
