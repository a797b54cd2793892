// SPDX-License-Identifier: Apache-2.0
import { type JsonValue, isJsonList, isJsonObject } from "../../lib/json.ts";

/** A path at which two documents differ. A value is absent on the side that does not have it. */
export interface Difference {
  readonly path: string;
  readonly here?: JsonValue;
  readonly there?: JsonValue;
}

/**
 * Compares two documents. Items of lists are matched by their `name`; those without one by their value, in any order.
 */
export function differences(here: JsonValue, there: JsonValue, path = ""): readonly Difference[] {
  if (JSON.stringify(here) === JSON.stringify(there)) return [];
  const left = membersOf(here);
  const right = membersOf(there);
  if (left === undefined || right === undefined) return [{ path, here, there }];
  return [...new Set([...left.keys(), ...right.keys()])].flatMap((key) => {
    const inner = path === "" ? key : `${path}.${key}`;
    const a = left.get(key);
    const b = right.get(key);
    if (a !== undefined && b !== undefined) return differences(a, b, inner);
    return [{ path: inner, ...(a === undefined ? {} : { here: a }), ...(b === undefined ? {} : { there: b }) }];
  });
}

function membersOf(value: JsonValue): ReadonlyMap<string, JsonValue> | undefined {
  if (isJsonList(value)) return new Map(value.map((item) => [nameOf(item) ?? `[${JSON.stringify(item)}]`, item]));
  return isJsonObject(value) ? new Map(Object.entries(value)) : undefined;
}

function nameOf(item: JsonValue): string | undefined {
  return isJsonObject(item) && typeof item["name"] === "string" ? item["name"] : undefined;
}
