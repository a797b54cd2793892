// SPDX-License-Identifier: Apache-2.0

/** A plain JSON value. */
export type JsonValue = string | number | boolean | null | ExactInteger | readonly JsonValue[] | JsonObject;

export interface JsonObject {
  readonly [key: string]: JsonValue;
}

/**
 * An integer beyond 2^53, kept as its digits, because a number would change it. `JSON.stringify` writes it as it was
 * read.
 */
export interface ExactInteger {
  readonly rawJSON: string;
}

declare global {
  // Source: ECMAScript's proposal "JSON.parse source text access", as Node 22 and later have it
  interface JSON {
    parse(
      text: string,
      reviver: (key: string, value: unknown, context: { readonly source?: string }) => unknown,
    ): unknown;
    rawJSON(text: string): ExactInteger;
    isRawJSON(value: unknown): value is ExactInteger;
  }
}

/** Fewer digits are always safe. The slower parser is used only for a text with a longer run of digits outside of strings. */
const manyDigits = 16;

/** Objects and lists within each other. Protobuf's parsers, which read all that Envoy gets, go no deeper. */
export const mostLevels = 100;

/** Names and values in a text. One takes up to 200 bytes of the heap. */
export const mostJsonValues = 50_000;

/** The same in a text with integers that keep their digits: for these, the parser holds the source of every value. */
export const mostExactJsonValues = 5_000;

/** A text that is nested too deeply or has too many values. Its message starts with "is" or "has". */
export class DocumentLimitError extends Error {}

/**
 * Finds in one pass, before anything is made of a text, whether it is too large to parse. Code that follows may recurse
 * over its values.
 * @returns whether there are numbers with so many digits that they may have to be kept
 * @throws DocumentLimitError also for some texts that are not JSON
 */
export function checkJsonSize(text: string): boolean {
  let depth = 0;
  let values = 0;
  let hasManyDigits = false;
  for (let index = 0; index < text.length; index++) {
    const code = text.charCodeAt(index);
    switch (code) {
      case 0x22:
        index = endOfString(text, index);
        break;
      case 0x5b:
      case 0x7b:
        if (++depth > mostLevels) throw tooDeep();
        values++;
        break;
      case 0x5d:
      case 0x7d:
        depth--;
        break;
      case 0x2c:
      case 0x3a:
        values++;
        break;
      default: {
        if (code < 0x30 || code > 0x39) break;
        const end = endOfDigits(text, index);
        if (end - index >= manyDigits) hasManyDigits = true;
        index = end - 1;
      }
    }
    if (values > (hasManyDigits ? mostExactJsonValues : mostJsonValues)) throw tooManyValues(hasManyDigits);
  }
  return hasManyDigits;
}

/** The index behind the digits of which one stands at `start`. */
function endOfDigits(text: string, start: number): number {
  let end = start + 1;
  for (let code = text.charCodeAt(end); code >= 0x30 && code <= 0x39; code = text.charCodeAt(end)) end++;
  return end;
}

/** The error for a text with more than `mostLevels`. */
export function tooDeep(): DocumentLimitError {
  return new DocumentLimitError(`is nested deeper than ${String(mostLevels)} levels`);
}

function tooManyValues(hasManyDigits: boolean): DocumentLimitError {
  const most = hasManyDigits ? mostExactJsonValues : mostJsonValues;
  const why = hasManyDigits ? ` and integers of ${String(manyDigits)} digits or more` : "";
  return new DocumentLimitError(`has more than ${String(most)} names and values${why}`);
}

/** The index of the quote that ends the string which starts at `start`. */
function endOfString(text: string, start: number): number {
  let end = text.indexOf('"', start + 1);
  while (end >= 0 && isEscaped(text, end)) end = text.indexOf('"', end + 1);
  return end < 0 ? text.length : end;
}

function isEscaped(text: string, quote: number): boolean {
  let first = quote;
  while (text.charCodeAt(first - 1) === 0x5c) first--;
  return (quote - first) % 2 === 1;
}

/**
 * Parses JSON. Integers of any size keep their digits.
 * @throws SyntaxError; DocumentLimitError
 */
export function parseJson(text: string): JsonValue {
  return (checkJsonSize(text) ? JSON.parse(text, keepDigits) : JSON.parse(text)) as JsonValue;
}

function keepDigits(_key: string, value: unknown, { source = "" }: { readonly source?: string }): unknown {
  const exact = typeof value === "number" && !Number.isSafeInteger(value) && /^-?\d+$/.test(source);
  return exact ? JSON.rawJSON(source) : value;
}

/** As `parseJson`; undefined when the text is not JSON. */
export function tryParseJson(text: string): JsonValue | undefined {
  try {
    return parseJson(text);
  } catch {
    return undefined;
  }
}

/** As `parseJson`; undefined when the text is not JSON, or not an object. */
export function parseJsonObject(text: string): JsonObject | undefined {
  const value = tryParseJson(text);
  return isJsonObject(value) ? value : undefined;
}

export function isJsonObject(value: JsonValue | undefined): value is JsonObject {
  return typeof value === "object" && value !== null && !isJsonList(value) && !JSON.isRawJSON(value);
}

export function isJsonList(value: JsonValue | undefined): value is readonly JsonValue[] {
  return Array.isArray(value);
}

/** The value if it is an object, otherwise an empty object. */
export function objectOf(value: JsonValue | undefined): JsonObject {
  return isJsonObject(value) ? value : {};
}

/** The value if it is a list, otherwise an empty list. */
export function listOf(value: JsonValue | undefined): readonly JsonValue[] {
  return isJsonList(value) ? value : [];
}

/** The objects in a list. */
export function objectsOf(value: JsonValue | undefined): readonly JsonObject[] {
  return listOf(value).filter((item) => isJsonObject(item));
}

/** The strings in a list. */
export function textsOf(value: JsonValue | undefined): readonly string[] {
  return listOf(value).filter((item) => typeof item === "string");
}

/** The value if it is a string, otherwise an empty string. */
export function textOf(value: JsonValue | undefined): string {
  return typeof value === "string" ? value : "";
}

/**
 * A value as JSON represents it: well-formed strings, finite numbers, exact integers; null for everything that JSON
 * cannot represent.
 */
export function toJsonValue(value: unknown): JsonValue {
  switch (typeof value) {
    case "string":
      return value.toWellFormed();
    case "boolean":
      return value;
    case "number":
      return Number.isFinite(value) ? value : String(value);
    case "bigint":
      return JSON.rawJSON(value.toString());
    case "object":
      if (value === null || JSON.isRawJSON(value)) return value;
      if (Array.isArray(value)) return value.map(toJsonValue);
      return Object.fromEntries(Object.entries(value).map(([key, item]) => [key.toWellFormed(), toJsonValue(item)]));
    default:
      return null;
  }
}
