// SPDX-License-Identifier: Apache-2.0
import { parseGoDuration } from "../../lib/go-duration.ts";
import { suggestion } from "../../lib/nearest-name.ts";
import { type JsonObject, type JsonValue, isJsonList, isJsonObject, toJsonValue } from "../../lib/json.ts";
import { type Findings, shown } from "../config-error.ts";
import type { FieldType, MessageFields } from "./schema.ts";

/** The source of a value, and the path of its field there. */
interface Place {
  readonly source: string;
  readonly path: string;
}

/**
 * Reads a protobuf message from JSON: names in camel or snake case, `null` for an absent field, integers also quoted,
 * enums by name or number, durations in seconds or in Go's notation. The result has camel case names, enum names and
 * durations in seconds. An unknown field is a warning and is ignored.
 * Source: protobuf's JSON mapping, with the two extensions for durations of Istio's agent
 */
export function readMessage(
  value: JsonValue | undefined,
  fields: MessageFields,
  place: Place,
  findings: Findings,
): JsonObject {
  const result: Record<string, JsonValue> = {};
  if (value === null || value === undefined) return result;
  if (!isJsonObject(value)) {
    findings.problem(where(place), `must be an object, not ${shapeOf(value)}`);
    return result;
  }
  for (const [given, item] of Object.entries(value)) {
    const name = Object.hasOwn(fields, given) ? given : camelCase(given);
    const type = Object.hasOwn(fields, name) ? fields[name] : undefined;
    const inner = { source: place.source, path: place.path === "" ? given : `${place.path}.${given}` };
    if (type === undefined) {
      findings.warn(where(inner), `unknown field ${given} is ignored${suggestion(given, Object.keys(fields))}`);
    } else if (given !== name && Object.hasOwn(value, name)) {
      findings.warn(where(inner), `is ignored: the field is given as ${name} too`);
    } else if (item !== null) {
      const read = readField(item, type, inner, findings);
      if (read !== undefined) result[name] = read;
    }
  }
  return result;
}

function readField(value: JsonValue, type: FieldType, place: Place, findings: Findings): JsonValue | undefined {
  const wrong = (wanted: string): JsonValue | undefined => {
    findings.problem(where(place), `must be ${wanted}, not ${shapeOf(value)}`);
    return undefined;
  };
  switch (type) {
    case "any":
      return toJsonValue(value);
    case "string":
      return typeof value === "string" ? value.toWellFormed() : wrong("a string");
    case "bool":
    case "boolValue":
      return typeof value === "boolean" ? value : wrong("true or false");
    case "int":
    case "uint":
    case "intValue":
      return (
        readInteger(value, type === "uint") ??
        wrong(type === "uint" ? "a whole number, 0 or more" : "a whole number of 32 bits")
      );
    case "number":
      return readNumber(value) ?? wrong("a number");
    case "duration":
      return readDuration(value) ?? wrong("a duration such as 45s or 1m30s");
    default:
      return readCompound(value, type, place, findings, wrong);
  }
}

function readCompound(
  value: JsonValue,
  type: Exclude<FieldType, string>,
  place: Place,
  findings: Findings,
  wrong: (wanted: string) => JsonValue | undefined,
): JsonValue | undefined {
  if ("message" in type) return readMessage(value, type.message, place, findings);
  if ("choice" in type) {
    const found = type.choice.find(([name, number]) => name === value || number === value);
    return found?.[0] ?? wrong(`one of ${type.choice.map(([name]) => name).join(", ")}`);
  }
  if ("list" in type) {
    if (!isJsonList(value)) return wrong("a list");
    return value.flatMap((item, index) => {
      const read = readField(item, type.list, { ...place, path: `${place.path}[${String(index)}]` }, findings);
      return read === undefined ? [] : [read];
    });
  }
  if (!isJsonObject(value)) return wrong("an object");
  const result: Record<string, JsonValue> = {};
  for (const [key, item] of Object.entries(value)) {
    const read = readField(item, type.map, { ...place, path: `${place.path}.${key}` }, findings);
    if (read !== undefined)
      Object.defineProperty(result, key.toWellFormed(), {
        value: read,
        enumerable: true,
        configurable: true,
        writable: true,
      });
  }
  return result;
}

function readInteger(value: JsonValue, unsigned: boolean): number | undefined {
  const number = typeof value === "string" && /^[+-]?\d+$/.test(value) ? Number(value) : value;
  if (typeof number !== "number" || !Number.isInteger(number)) return undefined;
  const [least, most] = unsigned ? [0, 2 ** 32 - 1] : [-(2 ** 31), 2 ** 31 - 1];
  return number >= least && number <= most ? number : undefined;
}

function readNumber(value: JsonValue): number | undefined {
  const text = JSON.isRawJSON(value) ? value.rawJSON : value;
  const number = typeof text === "string" && text.trim() !== "" ? Number(text) : text;
  return typeof number === "number" && Number.isFinite(number) ? number : undefined;
}

function readDuration(value: JsonValue): string | undefined {
  const ms = typeof value === "string" ? parseGoDuration(value) : undefined;
  return ms === undefined ? undefined : formatProtoDuration(ms);
}

/**
 * A duration as protobuf's JSON has it: seconds with 0, 3, 6 or 9 decimals.
 * @param ms milliseconds, with fractions down to nanoseconds
 */
export function formatProtoDuration(ms: number): string {
  const nanos = BigInt(Math.round(Math.abs(ms) * 1e6));
  const fraction = (nanos % 1_000_000_000n)
    .toString()
    .padStart(9, "0")
    .replace(/(000){1,3}$/, "");
  const sign = ms < 0 && nanos > 0n ? "-" : "";
  return `${sign}${(nanos / 1_000_000_000n).toString()}${fraction === "" ? "" : `.${fraction}`}s`;
}

/** `stat_name_length` and `statNameLength` are the same field. */
export function camelCase(name: string): string {
  return name.replaceAll(/_([a-z0-9])/g, (_, letter: string) => letter.toUpperCase());
}

function where({ source, path }: Place): string {
  return path === "" ? source : `${source}, field ${path}`;
}

function shapeOf(value: JsonValue): string {
  if (value === null) return "nothing";
  if (isJsonList(value)) return "a list";
  if (isJsonObject(value)) return "an object";
  const kind = typeof value === "string" ? "text" : typeof value === "boolean" ? "boolean" : "number";
  return `the ${kind} ${shown(value)}`;
}
