// SPDX-License-Identifier: Apache-2.0
import { type JsonObject, type JsonValue, isJsonList, isJsonObject } from "../lib/json.ts";

/** The values of a document's slots; undefined removes the slot. */
export type Slots = Readonly<Record<string, JsonValue | undefined>>;

/**
 * Copies base data and replaces every `{"$slot": "name"}` by the value of that name. A slot without a value is removed,
 * with its key or its place in a list.
 */
export function fillSlots(base: JsonObject, slots: Slots): JsonObject {
  const result: Record<string, JsonValue> = {};
  for (const [key, item] of Object.entries(base)) {
    const filled = fill(item, slots);
    if (filled !== undefined) result[key] = filled;
  }
  return result;
}

function fill(value: JsonValue, slots: Slots): JsonValue | undefined {
  if (isJsonList(value)) return value.map((item) => fill(item, slots)).filter((item) => item !== undefined);
  if (!isJsonObject(value)) return value;
  const name = value["$slot"];
  return typeof name === "string" ? slots[name] : fillSlots(value, slots);
}
