// SPDX-License-Identifier: Apache-2.0
// The forms that Envoy's parser takes beside those of ProtoJSON. Source: observed with `envoy --mode validate` of 1.40
import {
  type DescEnum,
  type DescField,
  type DescMessage,
  type JsonValue,
  type Registry,
  ScalarType,
} from "@bufbuild/protobuf";

type Fields = Readonly<Record<string, JsonValue>>;

/**
 * Brings a message to the form of ProtoJSON: one element instead of a list, lists in lists, enums in any letter case,
 * booleans and numbers as texts, wrappers and durations as messages. What has none of these forms stays as it is.
 */
export function inProtoJson(message: DescMessage, value: JsonValue, api: Registry): JsonValue {
  if (message.typeName === "google.protobuf.Any") return anyInProtoJson(value, api);
  const [first] = message.fields;
  if (wrapper.test(message.typeName) && first !== undefined) {
    return one(first, isFields(value) ? (value["value"] ?? defaultOf(first)) : value, api);
  }
  if (!isFields(value) || /^google\.protobuf\.(Struct|Value|ListValue|FieldMask|Timestamp)$/.test(message.typeName)) {
    return value;
  }
  if (message.typeName === "google.protobuf.Duration") return durationText(value);
  const entries = Object.entries(value).map(([name, item]): [string, JsonValue] => {
    const field = message.fields.find((known) => known.name === name || known.jsonName === name);
    return [name, field === undefined || item === null ? item : ofField(field, item, api)];
  });
  return Object.fromEntries(entries);
}

const wrapper = /^google\.protobuf\.(Bool|String|Bytes|U?Int32|U?Int64|Double|Float)Value$/;

function ofField(field: DescField, value: JsonValue, api: Registry): JsonValue {
  if (field.fieldKind === "list") return elements(value).map((item) => one(field, item, api));
  if (field.fieldKind !== "map" || !isFields(value)) return one(field, value, api);
  return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, one(field, item, api)]));
}

function elements(value: JsonValue): readonly JsonValue[] {
  if (value === null) return [];
  return Array.isArray(value) ? value.flatMap(elements) : [value];
}

/** A value of the field's own type, or that of its elements. */
function one({ message, enum: names, scalar }: DescField, value: JsonValue, api: Registry): JsonValue {
  if (message !== undefined) return inProtoJson(message, value, api);
  if (names !== undefined) return enumName(names, value);
  return typeof value === "string" ? scalarOf(scalar, value) : value;
}

function enumName({ values }: DescEnum, value: JsonValue): JsonValue {
  if (typeof value !== "string") return value;
  if (/^[+-]?\d+$/.test(value)) return Number(value);
  return values.find(({ name }) => name.toUpperCase() === value.toUpperCase())?.name ?? value;
}

function scalarOf(type: ScalarType, text: string): JsonValue {
  switch (type) {
    case ScalarType.STRING:
    case ScalarType.BYTES:
      return text;
    case ScalarType.BOOL:
      return /^(true|t|yes|y|1)$/i.test(text) ? true : /^(false|f|no|n|0)$/i.test(text) ? false : text;
    case ScalarType.DOUBLE:
    case ScalarType.FLOAT:
      return Number.isFinite(Number(text)) && text.trim() !== "" ? Number(text) : text;
    default:
      return integerText(text);
  }
}

/** An integer with a sign, a fraction of zero, an exponent, or in hexadecimal, as its digits. */
function integerText(text: string): string {
  if (/^[+-]?\d+$/.test(text)) return BigInt(text.replace(/^\+/, "")).toString();
  const number = /^[\d.e+x-]+$/i.test(text) ? Number(text) : Number.NaN;
  return Number.isInteger(number) ? BigInt(number).toString() : text;
}

function defaultOf({ scalar }: DescField): JsonValue {
  if (scalar === ScalarType.BOOL) return false;
  return scalar === ScalarType.STRING || scalar === ScalarType.BYTES ? "" : 0;
}

/** Of other fields than those of a duration, the value stays, to be rejected. */
function durationText(value: Fields): JsonValue {
  const { seconds = 0, nanos = 0, ...others } = value;
  const [whole, part] = [Number(seconds), Number(nanos)];
  if (Object.keys(others).length > 0 || !Number.isInteger(whole) || !Number.isInteger(part)) return value;
  const sign = whole < 0 || part < 0 ? "-" : "";
  return `${sign}${String(Math.abs(whole))}.${String(Math.abs(part)).padStart(9, "0")}s`;
}

function anyInProtoJson(value: JsonValue, api: Registry): JsonValue {
  if (!isFields(value)) return value;
  const { "@type": url, ...fields } = value;
  const message = typeof url === "string" ? api.getMessage(url.slice(url.lastIndexOf("/") + 1)) : undefined;
  if (url === undefined || message === undefined || message.typeName.startsWith("google.protobuf.")) return value;
  const inner = inProtoJson(message, fields, api);
  return isFields(inner) ? { "@type": url, ...inner } : value;
}

function isFields(value: JsonValue): value is Record<string, JsonValue> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
