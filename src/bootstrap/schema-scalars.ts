// SPDX-License-Identifier: Apache-2.0
// The forms in which Envoy's parser takes scalars. Source: observed with `envoy --mode validate` of 1.40
import { type JsonValue, isJsonObject } from "../lib/json.ts";

/** @returns the expected type, when the value is of another one */
export function scalarProblem(value: JsonValue, letter: string): string | undefined {
  switch (letter) {
    case "s":
      return typeof value === "string" ? undefined : "a string";
    case "y":
      return typeof value === "string" && isBase64(value) ? undefined : "a string in base64";
    case "b":
      return typeof value === "boolean" || (typeof value === "string" && boolText.test(value))
        ? undefined
        : "true or false";
    case "i":
    case "u":
    case "I":
    case "U":
      return integerProblem(value, letter);
    case "f":
      return isNumber(value) ? undefined : "a number";
    case "d":
      return typeof value === "string" && isDuration(value) ? undefined : 'a duration in seconds such as "1.5s"';
    case "o":
      return isJsonObject(value) ? undefined : "an object";
    default:
      return undefined;
  }
}

/** As texts, also in other letter case. */
const boolText = /^(true|t|yes|y|1|false|f|no|n|0)$/i;
const decimal = /^[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:e[+-]?\d+)?$/i;
const hexadecimal = /^[+-]?0x[0-9a-f]+(\.[0-9a-f]*)?(p[+-]?\d+)?$/i;
const notFinite = /^[+-]?(nan|inf|infinity)$/i;

const ranges: Readonly<Record<"i" | "u" | "I" | "U", readonly [bigint, bigint]>> = {
  i: [-(2n ** 31n), 2n ** 31n - 1n],
  u: [0n, 2n ** 32n - 1n],
  I: [-(2n ** 63n), 2n ** 63n - 1n],
  U: [0n, 2n ** 64n - 1n],
};

/** An integer may be a text, and may have a fraction of zero or an exponent. */
function integerProblem(value: JsonValue, letter: keyof typeof ranges): string | undefined {
  const [least, most] = ranges[letter];
  const wanted = least === 0n ? "a whole number, 0 or more" : "a whole number";
  const text = JSON.isRawJSON(value) ? value.rawJSON : typeof value === "number" ? String(value) : value;
  if (typeof text !== "string") return wanted;
  if (hexadecimal.test(text)) return undefined;
  const integer = integerIn(text);
  if (integer === undefined) return wanted;
  if (integer >= least && integer <= most) return undefined;
  return integer < least && least === 0n ? wanted : `${wanted}, at most ${String(most)}`;
}

function integerIn(text: string): bigint | undefined {
  if (/^[+-]?\d+$/.test(text)) return BigInt(text.replace(/^\+/, ""));
  const number = decimal.test(text) ? Number(text) : Number.NaN;
  return Number.isInteger(number) ? BigInt(number) : undefined;
}

function isNumber(value: JsonValue): boolean {
  if (JSON.isRawJSON(value)) return true;
  if (typeof value !== "string") return typeof value === "number";
  const text = value.trim();
  return decimal.test(text) || hexadecimal.test(text) || notFinite.test(text);
}

/** Source: google.protobuf.Duration */
const mostSeconds = 315_576_000_000;

function isDuration(text: string): boolean {
  const seconds = /^-?(\d+)(?:\.\d{1,9})?s$/.exec(text)?.[1];
  return seconds !== undefined && Number(seconds) <= mostSeconds;
}

/** Either alphabet. The padding may be absent, but not incomplete. */
function isBase64(text: string): boolean {
  const [, content = "", padding = ""] = /^([\w+/-]*)(={0,2})$/.exec(text) ?? [];
  if (content + padding !== text) return false;
  return padding === "" ? content.length % 4 !== 1 : text.length % 4 === 0;
}
