// SPDX-License-Identifier: Apache-2.0
import { isJsonObject, type JsonObject, type JsonValue } from "../../lib/json.ts";

/** What is not an object is undefined. */
export function parsed<T>(value: JsonValue | undefined, parse: (object: JsonObject) => T): T | undefined {
  return isJsonObject(value) ? parse(value) : undefined;
}

export function optionalText(value: JsonValue | undefined): string | undefined {
  return typeof value === "string" ? value : undefined;
}

/** What is not a time is undefined. */
export function timeOf(value: JsonValue | undefined): string | undefined {
  return typeof value === "string" && !Number.isNaN(Date.parse(value)) ? value : undefined;
}

export function numberOf(value: JsonValue | undefined): number | undefined {
  return typeof value === "number" ? value : undefined;
}
