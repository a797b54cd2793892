// SPDX-License-Identifier: Apache-2.0
import schema from "../../bootstrap/schema.json" with { type: "json" };
import { suggestion } from "../lib/nearest-name.ts";
import { type JsonObject, type JsonValue, isJsonList, isJsonObject, objectOf } from "../lib/json.ts";

/** A part of a document that Envoy rejects or ignores. */
export interface SchemaFinding {
  /** Names separated by dots, list indexes in brackets. */
  readonly path: string;
  readonly message: string;
  /** False for an unknown field: a newer Envoy may know it. */
  readonly certain: boolean;
}

type Fields = ReadonlyMap<string, string>;

const messageNames = Object.keys(schema.messages);
const enumNames = Object.keys(schema.enums);
const messages: Readonly<Record<string, string>> = schema.messages;
const enums: Readonly<Record<string, string>> = schema.enums;
const bootstrapType = "envoy.config.bootstrap.v3.Bootstrap";

/**
 * Checks a bootstrap, or a part that is merged over one, against Envoy's API.
 * Source: a published copy of Envoy's protos; JSON forms as protobuf's JSON mapping has them
 */
export function checkBootstrapSchema(document: JsonObject): readonly SchemaFinding[] {
  const findings: SchemaFinding[] = [];
  checkMessage(document, bootstrapType, "", findings);
  return findings;
}

const parsedFields = new Map<string, Fields>();

function fieldsOf(name: string): Fields {
  const known = parsedFields.get(name);
  if (known !== undefined) return known;
  const entries = (messages[name] ?? "").split(" ").filter((item) => item !== "");
  const fields = new Map(entries.map((item): [string, string] => splitOnce(item, ":")));
  parsedFields.set(name, fields);
  return fields;
}

function splitOnce(text: string, separator: string): [string, string] {
  const index = text.indexOf(separator);
  return [text.slice(0, index), text.slice(index + 1)];
}

function checkMessage(value: JsonValue, name: string, path: string, findings: SchemaFinding[]): void {
  if (!isJsonObject(value)) {
    findings.push({ path, message: `must be an object, not ${shown(value)}`, certain: true });
    return;
  }
  const fields = fieldsOf(name);
  for (const [given, item] of Object.entries(value)) {
    if (given === "@type" || item === null) continue;
    const inner = path === "" ? given : `${path}.${given}`;
    const type = fields.get(given) ?? fields.get(snakeCase(given));
    if (type === undefined) {
      const hint = suggestion(given, fields.keys());
      findings.push({ path: inner, message: `unknown field${hint}`, certain: false });
    } else checkField(item, type, inner, findings);
  }
}

function checkField(value: JsonValue, type: string, path: string, findings: SchemaFinding[]): void {
  if (type.startsWith("*")) {
    if (!isJsonList(value)) findings.push({ path, message: `must be a list, not ${shown(value)}`, certain: true });
    else
      for (const [index, item] of value.entries()) checkOne(item, type.slice(1), `${path}[${String(index)}]`, findings);
  } else if (type.startsWith("%")) {
    if (!isJsonObject(value)) findings.push({ path, message: `must be an object, not ${shown(value)}`, certain: true });
    else for (const [key, item] of Object.entries(value)) checkOne(item, type.slice(1), `${path}.${key}`, findings);
  } else checkOne(value, type, path, findings);
}

function checkOne(value: JsonValue, type: string, path: string, findings: SchemaFinding[]): void {
  const number = Number(type.slice(1));
  if (type.startsWith("m")) checkMessage(value, messageNames[number] ?? "", path, findings);
  else if (type === "a") checkAny(value, path, findings);
  else {
    const wanted = type.startsWith("e") ? enumProblem(value, enumNames[number] ?? "") : scalarProblem(value, type);
    if (wanted !== undefined) findings.push({ path, message: `must be ${wanted}, not ${shown(value)}`, certain: true });
  }
}

/** An `Any` is checked when its type is known. In Envoy's typed structs, the fields are one level down. */
function checkAny(value: JsonValue, path: string, findings: SchemaFinding[]): void {
  const url = isJsonObject(value) ? value["@type"] : undefined;
  if (!isJsonObject(value) || typeof url !== "string") {
    findings.push({ path, message: "must be an object with a member @type", certain: true });
    return;
  }
  const name = url.slice(url.lastIndexOf("/") + 1);
  if (Object.hasOwn(messages, name)) checkMessage(value, name, path, findings);
  else if (/^(udpa\.type\.v1|xds\.type\.v3)\.TypedStruct$/.test(name)) {
    const inner = { ...objectOf(value["value"]), "@type": value["type_url"] ?? "" };
    if (typeof value["type_url"] === "string") checkAny(inner, `${path}.value`, findings);
  }
}

function enumProblem(value: JsonValue, name: string): string | undefined {
  const names = (enums[name] ?? "").split(" ");
  if (typeof value === "number" || (typeof value === "string" && names.includes(value))) return undefined;
  return `one of ${names.join(", ")}`;
}

/** @returns the expected type, when the value is of another one */
function scalarProblem(value: JsonValue, letter: string): string | undefined {
  switch (letter) {
    case "s":
    case "y":
      return typeof value === "string" ? undefined : "a string";
    case "b":
      return typeof value === "boolean" ? undefined : "true or false";
    case "i":
    case "u":
      return isWhole(value, letter === "u")
        ? undefined
        : letter === "u"
          ? "a whole number, 0 or more"
          : "a whole number";
    case "f":
      return isNumber(value) ? undefined : "a number";
    case "d":
      return typeof value === "string" && /^-?\d+(\.\d{1,9})?s$/.test(value)
        ? undefined
        : 'a duration in seconds such as "1.5s"';
    case "o":
      return isJsonObject(value) ? undefined : "an object";
    default:
      return undefined;
  }
}

function isNumber(value: JsonValue): boolean {
  if (JSON.isRawJSON(value)) return true;
  if (typeof value !== "string") return typeof value === "number";
  return /^-?(\d+(\.\d*)?(e[+-]?\d+)?|Infinity)$|^NaN$/i.test(value);
}

function isWhole(value: JsonValue, unsigned: boolean): boolean {
  const text = JSON.isRawJSON(value) ? value.rawJSON : value;
  const number = typeof text === "string" && /^-?\d+$/.test(text) ? Number(text) : text;
  return typeof number === "number" && Number.isInteger(number) && (!unsigned || number >= 0);
}

function snakeCase(name: string): string {
  return name.replaceAll(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function shown(value: JsonValue): string {
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
