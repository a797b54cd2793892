// SPDX-License-Identifier: Apache-2.0
import type { Findings } from "../config-error.ts";

/**
 * Parses a file of the downward API: lines of `key="value"`, the value a quoted literal. An invalid line is ignored
 * with a warning.
 * Source: Kubernetes' downward API volume; quoting as in Go's strconv
 */
export function parseDownwardApi(text: string, path: string, findings: Findings): ReadonlyMap<string, string> {
  const values = new Map<string, string>();
  for (const [index, line] of text.toWellFormed().split("\n").entries()) {
    const equals = line.indexOf("=");
    if (equals < 0) continue;
    const key = line.slice(0, equals);
    const value = unquote(line.slice(equals + 1));
    if (value === undefined) {
      findings.warn(
        `${path}, line ${String(index + 1)}`,
        `the value of ${key} is not a quoted text; the line is ignored`,
      );
    } else values.set(key, value);
  }
  return values;
}

/**
 * The text of a literal in double quotes, back quotes or, for one character, single quotes; undefined if it is none.
 */
export function unquote(literal: string): string | undefined {
  const quote = literal[0];
  const inner = literal.slice(1, -1);
  if (literal.length < 2 || quote !== literal.at(-1)) return undefined;
  if (quote === "`") return inner.includes("`") ? undefined : inner.replaceAll("\r", "");
  if (quote !== '"' && quote !== "'") return undefined;
  const text = unescape(inner, quote);
  return quote === "'" && text !== undefined && !/^.$/su.test(text) ? undefined : text;
}

const simpleEscapes: Readonly<Record<string, string>> = {
  a: "\u0007",
  b: "\b",
  f: "\f",
  n: "\n",
  r: "\r",
  t: "\t",
  v: "\v",
  "\\": "\\",
};

/** Works on bytes, because `\xHH` is one byte of a character. */
function unescape(text: string, quote: string): string | undefined {
  if (text.includes("\n")) return undefined;
  if (!text.includes("\\")) return text.includes(quote) ? undefined : text;
  const parts: Buffer[] = [];
  for (let index = 0; index < text.length; ) {
    if (text[index] !== "\\") {
      const backslash = text.indexOf("\\", index);
      const end = backslash < 0 ? text.length : backslash;
      const run = text.slice(index, end);
      if (run.includes(quote)) return undefined;
      parts.push(Buffer.from(run));
      index = end;
      continue;
    }
    const escape = readEscape(text.slice(index + 1, index + 10), quote);
    if (escape === undefined) return undefined;
    parts.push(escape.bytes);
    index += 1 + escape.length;
  }
  return Buffer.concat(parts).toString();
}

/** The escape that a text starts with, after its backslash. */
function readEscape(text: string, quote: string): { bytes: Buffer; length: number } | undefined {
  const letter = text[0] ?? "";
  const simple = letter === quote ? quote : simpleEscapes[letter];
  if (simple !== undefined) return { bytes: Buffer.from(simple), length: 1 };
  const byte = /^(?:x([0-9a-fA-F]{2})|([0-3][0-7]{2}))/.exec(text);
  if (byte !== null) {
    const value = byte[1] === undefined ? Number.parseInt(byte[2] ?? "", 8) : Number.parseInt(byte[1], 16);
    return { bytes: Buffer.from([value]), length: byte[0].length };
  }
  const point = /^(?:u([0-9a-fA-F]{4})|U([0-9a-fA-F]{8}))/.exec(text);
  if (point === null) return undefined;
  const code = Number.parseInt(point[1] ?? point[2] ?? "", 16);
  if (code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return undefined;
  return { bytes: Buffer.from(String.fromCodePoint(code)), length: point[0].length };
}
