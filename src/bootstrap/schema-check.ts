// SPDX-License-Identifier: Apache-2.0
import schema from "../../bootstrap/schema.json" with { type: "json" };
import { suggestion } from "../lib/nearest-name.ts";
import { type JsonObject, type JsonValue, isJsonList, isJsonObject, objectOf, textOf } from "../lib/json.ts";
import { scalarProblem } from "./schema-scalars.ts";

/** A part of a document that Envoy rejects or ignores. */
export interface SchemaFinding {
  /** Names separated by dots, list indexes in brackets. */
  readonly path: string;
  readonly message: string;
  /** False for an unknown field: a newer Envoy may know it. */
  readonly certain: boolean;
}

/** The types of a message's fields, by their names in protobuf and in JSON. */
interface Fields {
  readonly types: ReadonlyMap<string, string>;
  readonly names: readonly string[];
}

const messageNames = Object.keys(schema.messages);
const enumNames = Object.keys(schema.enums);
const messages: Readonly<Record<string, string>> = schema.messages;
const enums: Readonly<Record<string, string>> = schema.enums;
const bootstrapType = "envoy.config.bootstrap.v3.Bootstrap";

/**
 * Checks a bootstrap, or a part that is merged over one, against Envoy's API. It accepts every form that Envoy's parser
 * accepts, which are more than those of protobuf's JSON mapping.
 * Source: the descriptors in Envoy 1.40; the forms as observed with `envoy --mode validate` of 1.40
 */
export function checkBootstrapSchema(document: JsonObject): readonly SchemaFinding[] {
  const findings: SchemaFinding[] = [];
  checkMessage(document, { name: bootstrapType, path: "", isAny: false }, findings);
  return findings;
}

const parsedFields = new Map<string, Fields>();

function fieldsOf(name: string): Fields {
  const known = parsedFields.get(name);
  if (known !== undefined) return known;
  const entries = (messages[name] ?? "").split(" ").filter((item) => item !== "");
  const named = entries.map((item): [string, string] => splitOnce(item, ":"));
  const types = new Map([...named.map(([field, type]): [string, string] => [jsonName(field), type]), ...named]);
  const fields = { types, names: named.map(([field]) => field) };
  parsedFields.set(name, fields);
  return fields;
}

function splitOnce(text: string, separator: string): [string, string] {
  const index = text.indexOf(separator);
  return [text.slice(0, index), text.slice(index + 1)];
}

/** A field's name in JSON: `trace_id_128bit` is `traceId128bit`. */
function jsonName(name: string): string {
  return name.replaceAll(/_(.)/g, (_, letter: string) => letter.toUpperCase());
}

interface Place {
  /** Of the message's type. */
  readonly name: string;
  readonly path: string;
  /** Whether the message stands in an `Any`, with its type beside its fields. */
  readonly isAny: boolean;
}

function checkMessage(value: JsonValue, { name, path, isAny }: Place, findings: SchemaFinding[]): void {
  if (!isJsonObject(value)) {
    findings.push({ path, message: `must be an object, not ${shown(value)}`, certain: true });
    return;
  }
  const fields = fieldsOf(name);
  for (const [given, item] of Object.entries(value)) {
    if (given === "@type" && isAny) continue;
    const inner = path === "" ? given : `${path}.${given}`;
    const type = fields.types.get(given);
    if (type === undefined) {
      const hint = suggestion(given, fields.names);
      findings.push({ path: inner, message: `unknown field${hint}`, certain: false });
    } else if (item !== null) checkField(item, type, inner, findings);
  }
}

function checkField(value: JsonValue, type: string, path: string, findings: SchemaFinding[]): void {
  if (type.startsWith("*")) checkElements(value, type.slice(1), path, findings);
  else if (type.startsWith("%")) {
    if (!isJsonObject(value)) findings.push({ path, message: `must be an object, not ${shown(value)}`, certain: true });
    else
      for (const [key, item] of Object.entries(value)) {
        if (item !== null) checkOne(item, type.slice(1), `${path}.${key}`, findings);
      }
  } else checkOne(value, type, path, findings);
}

/** One element may stand for a list of it, lists within the list are parts of it, and null is passed over. */
function checkElements(value: JsonValue, type: string, path: string, findings: SchemaFinding[]): void {
  if (!isJsonList(value)) checkOne(value, type, path, findings);
  else
    for (const [index, item] of value.entries()) {
      if (item !== null) checkElements(item, type, `${path}[${String(index)}]`, findings);
    }
}

function checkOne(value: JsonValue, type: string, path: string, findings: SchemaFinding[]): void {
  const number = Number(type.slice(1));
  if (type.startsWith("m")) checkMessage(value, { name: messageNames[number] ?? "", path, isAny: false }, findings);
  else if (type === "a") checkAny(value, path, findings);
  else if (isJsonObject(value) && specialFields[type.charAt(0)] !== undefined)
    checkSpecial(value, type, path, findings);
  else {
    const scalar = type.startsWith("w") ? type.slice(1) : type;
    const wanted = type.startsWith("e") ? enumProblem(value, enumNames[number] ?? "") : scalarProblem(value, scalar);
    if (wanted !== undefined) findings.push({ path, message: `must be ${wanted}, not ${shown(value)}`, certain: true });
  }
}

/** Fields of messages that usually have another form in JSON. The wrappers' field has the type after the `w`. */
const specialFields: Readonly<Record<string, Readonly<Record<string, string>>>> = {
  w: { value: "" },
  d: { seconds: "I", nanos: "i" },
  t: { seconds: "I", nanos: "i" },
};

function checkSpecial(value: JsonObject, type: string, path: string, findings: SchemaFinding[]): void {
  const fields = specialFields[type.charAt(0)] ?? {};
  for (const [given, item] of Object.entries(value)) {
    const known = Object.hasOwn(fields, given) ? fields[given] : undefined;
    const inner = `${path}.${given}`;
    if (known === undefined) findings.push({ path: inner, message: "unknown field", certain: false });
    else if (item !== null) checkOne(item, known === "" ? type.slice(1) : known, inner, findings);
  }
}

/** An `Any` is checked when its type is known. In Envoy's typed structs, the fields are one level down. */
function checkAny(value: JsonValue, path: string, findings: SchemaFinding[]): void {
  const url = isJsonObject(value) ? value["@type"] : undefined;
  if (!isJsonObject(value) || typeof url !== "string") {
    // an empty one is parsed, but no extension has it as its configuration
    const isEmpty = isJsonObject(value) && Object.keys(value).length === 0 && !/typed_?config$/i.test(path);
    if (!isEmpty) findings.push({ path, message: "must be an object with a member @type", certain: true });
    return;
  }
  if (!url.includes("/")) {
    const message = `must be a URL such as type.googleapis.com/${url}`;
    findings.push({ path: `${path}.@type`, message, certain: true });
    return;
  }
  const name = url.slice(url.lastIndexOf("/") + 1);
  if (Object.hasOwn(messages, name)) checkMessage(value, { name, path, isAny: true }, findings);
  else if (/^(udpa\.type\.v1|xds\.type\.v3)\.TypedStruct$/.test(name)) {
    const url = textOf(value["type_url"] ?? value["typeUrl"]);
    checkTypedStruct(objectOf(value["value"]), url, `${path}.value`, findings);
  }
}

/** Envoy converts the fields to a message of the type, if it knows one. The type may lack its prefix. */
function checkTypedStruct(value: JsonObject, url: string, path: string, findings: SchemaFinding[]): void {
  const name = url.slice(url.lastIndexOf("/") + 1);
  if (Object.hasOwn(messages, name)) checkMessage(value, { name, path, isAny: true }, findings);
}

/** Names in any letter case, and numbers: those that are not in the list too. */
function enumProblem(value: JsonValue, name: string): string | undefined {
  const names = (enums[name] ?? "").split(" ");
  if (typeof value === "string" && names.some((known) => known.toUpperCase() === value.toUpperCase())) return undefined;
  const isNumber = typeof value === "string" ? /^[+-]?\d+$/.test(value) : scalarProblem(value, "i") === undefined;
  return isNumber ? undefined : `one of ${names.join(", ")}`;
}

function shown(value: JsonValue): string {
  const text = JSON.stringify(value);
  return text.length > 60 ? `${text.slice(0, 60)}…` : text;
}
