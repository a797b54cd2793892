// SPDX-License-Identifier: Apache-2.0
import { isJsonList, isJsonObject, type JsonObject, type JsonValue } from "../lib/json.ts";

/** Members of one object that exclude each other, as far as the agent's bootstrap has them. Source: Envoy's API v3 */
const alternatives: readonly (readonly string[])[] = [
  ["socket_address", "pipe", "envoy_internal_address"],
  ["path", "path_config_source", "api_config_source", "ads", "self"],
  ["port_value", "named_port"],
  ["reject_all", "exclusion_list", "inclusion_list"],
];
/** Their value counts also when it is that of an absent field. */
const withPresence: ReadonlySet<string> = new Set(["port_value"]);

/**
 * Merges an override over the agent's bootstrap as Envoy merges `--config-yaml` over its file: objects are joined, lists
 * are appended, other values are replaced, and the values of absent fields (false, 0 and empty) change nothing. A message
 * with a type, and an entry of the node's metadata, are replaced as a whole. So the override, which may have secrets, is
 * not on Envoy's command line.
 * Source: protobuf's MergeFrom and JSON mapping; a test compares it with Envoy's own result
 */
export function mergeOverride(base: JsonObject, override: JsonObject): JsonObject {
  return mergeObjects(base, override, "");
}

function mergeObjects(base: JsonObject, override: JsonObject, path: string): JsonObject {
  const merged = new Map(Object.entries(base));
  for (const [given, value] of Object.entries(override)) {
    if (value === null) continue;
    const name = path === "node.metadata" ? given : nameIn(merged, given);
    for (const other of alternatives.find((group) => group.includes(snakeCase(name))) ?? []) {
      if (other !== name) merged.delete(other);
    }
    const before = merged.get(name);
    merged.set(name, before === undefined ? value : mergeValues(before, value, { path, name }));
  }
  return Object.fromEntries(merged);
}

function mergeValues(
  before: JsonValue,
  value: JsonValue,
  at: { readonly path: string; readonly name: string },
): JsonValue {
  if (at.path === "node.metadata") return value;
  // one element may stand for a list of it
  if (isJsonList(before)) return isJsonList(value) ? [...before, ...value] : [...before, value];
  if (isJsonObject(before) && isJsonObject(value)) {
    if ("@type" in before || "@type" in value) return value;
    return mergeObjects(before, value, at.path === "" ? at.name : `${at.path}.${at.name}`);
  }
  const isAbsent = value === false || value === 0 || value === "" || isAbsentAsText(before, value);
  return isAbsent && !withPresence.has(at.name) ? before : value;
}

/** Envoy's parser takes booleans and numbers as texts too. */
function isAbsentAsText(before: JsonValue, value: JsonValue): boolean {
  if (typeof value !== "string") return false;
  if (typeof before === "boolean") return /^(false|f|no|n|0)$/i.test(value);
  return typeof before === "number" && value.trim() !== "" && Number(value) === 0;
}

/** A field has two names in JSON: the one that the base uses, if it has the field. */
function nameIn(base: ReadonlyMap<string, JsonValue>, given: string): string {
  if (base.has(given)) return given;
  const snake = snakeCase(given);
  return base.has(snake) ? snake : given;
}

function snakeCase(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}
