// SPDX-License-Identifier: Apache-2.0
import { type JsonObject, type JsonValue, isJsonList, isJsonObject } from "../lib/json.ts";

/** What goes into the slots of a document; undefined leaves the place out. */
export type Slots = Readonly<Record<string, JsonValue | undefined>>;

/**
 * A copy of base data in which every `{"$slot": "name"}` is replaced by the value of that name. A value is put in as
 * a value, never as text. A slot without a value disappears, with its key or its place in the list.
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
