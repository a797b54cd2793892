// SPDX-License-Identifier: Apache-2.0
import type { FoundSecret } from "./found-secret.ts";
import { isHarmlessValue, isPath, isSecretName } from "./secret-names.ts";

/** Each name of a secret has one of these in it. */
const keyword =
  /token|secret|pass|pwd|cred|auth|cookie|key|hmac|jw[kt]|bearer|sig|salt|sas|dsn|[cx]srf|psk|pin|otp|access_?id/gi;

const longestName = 100;

export interface NamedValueOptions {
  /** Numbers are kept: the text has statistics. */
  readonly keepsNumbers?: boolean;
}

/**
 * Values behind the name of a secret: `password: x`, `"apiKey": "x"`, `token=x&`, `--password x`, `<secret>x<`, also in
 * texts that are escaped.
 */
export function* findNamedValues(text: string, options: NamedValueOptions = {}): Generator<FoundSecret> {
  let done = 0;
  for (const { index } of text.matchAll(keyword)) {
    if (index < done) continue;
    const [start, end] = nameAround(text, index, done);
    done = end;
    if (!isSecretName(text.slice(start, end))) continue;
    const value = valueBehind(text, start, end);
    if (value === undefined) continue;
    const found = text.slice(value.start, value.end);
    if (isHarmlessValue(found) || isPath(found) || (options.keepsNumbers === true && /^\d{1,20}$/.test(found)))
      continue;
    yield { ...value, kind: "secret-name", isOpaque: true };
    done = value.end;
  }
}

function nameAround(text: string, index: number, least: number): [number, number] {
  let start = index;
  let end = index;
  while (start > least && index - start < longestName && isNameCharacter(text.charCodeAt(start - 1))) start--;
  while (end < text.length && end - index < longestName && isNameCharacter(text.charCodeAt(end))) end++;
  return [start, end];
}

function isNameCharacter(code: number): boolean {
  const isLetter = (code >= 0x61 && code <= 0x7a) || (code >= 0x41 && code <= 0x5a);
  // hyphen, dot, underscore
  return isLetter || (code >= 0x30 && code <= 0x39) || code === 0x2d || code === 0x2e || code === 0x5f;
}

interface Range {
  readonly start: number;
  readonly end: number;
}

/** These have no secret of their own; what is within is judged by its own names. */
const harmlessObject = /token_?bucket$|sds_?secret_?configs?$|_secrets$/i;

/** What stands between a name and its value. */
const separator =
  /(?:\\{0,8}["'\]]){0,2}[ \t]{0,64}(?::=|=>|[=:]|%3[DdAa])(?:[ \t]|%20|\\t){0,64}|\\{0,8}["'],[ \t]{0,8}(?=\\{0,8}["'])/y;

/** The value of the name between `start` and `end`; undefined when none follows. */
function valueBehind(text: string, start: number, end: number): Range | undefined {
  if (text[end] === ">") return until(text, end + 1, "<");
  separator.lastIndex = end;
  const [found] = separator.exec(text) ?? [];
  if (found === undefined) return argumentBehind(text, start, end) ?? wordBehind(text, end);
  let at = end + found.length;
  let quote = openingQuote(text, at);
  const first = quote === "" ? undefined : quoted(text, at + quote.length, quote);
  // of `"type": "password", "value": "x"`, what stands behind the comma is a name
  const behind =
    first && found.includes(",") ? /^\\{0,8}["']\s{0,8}[:=]\s{0,8}/.exec(text.slice(first.end, first.end + 32)) : null;
  if (first !== undefined && behind === null) return first;
  if (first !== undefined && behind !== null) {
    at = first.end + behind[0].length;
    quote = openingQuote(text, at);
    if (quote !== "") return quoted(text, at + quote.length, quote);
  }
  const name = text.slice(start, end);
  if (text[at] === "{" && harmlessObject.test(name)) return undefined;
  if (text[at] === "{" || text[at] === "[") return bracketed(text, at);
  const isColon = found.includes(":") && !found.includes("=");
  const isClause = isColon && /:[ \t]/.test(found) && /token|auth|cred|jwt|cookie/i.test(name);
  if (isClause && isProse(text, at)) return undefined;
  // its parts are quoted
  if (isColon && /^(?:digest|oauth|signature|hawk) /i.test(text.slice(at, at + 10))) return run(text, at, /[\r\n]/g);
  return isColon ? run(text, at, /["'\r\n<>`]/g) : run(text, at, /[\s&"'<>`]/g);
}

/** `--password x` */
function argumentBehind(text: string, start: number, end: number): Range | undefined {
  const dashes = text.startsWith("--", start) || text.slice(Math.max(0, start - 2), start) === "--";
  const space = dashes ? /^[ \t\0]{1,8}(?=[^\s\0-])/.exec(text.slice(end, end + 9)) : null;
  return space === null ? undefined : run(text, end + space[0].length, /[\s\0]/g);
}

/** `the password is x1`: a word that is no word of a language. */
function wordBehind(text: string, end: number): Range | undefined {
  const space = /^[ \t]{1,4}(?:(?:is|was|value|of|for)[ \t]{1,4})?["'`]?/.exec(text.slice(end, end + 20));
  if (space === null) return undefined;
  const word = run(text, end + space[0].length, /[\s"'<>`,;)]/g);
  const found = text.slice(word.start, word.end);
  const isRandom = found.length >= 8 && /\d/.test(found) && /[A-Za-z]/.test(found) && !/^[\w.-]+[=:/]/.test(found);
  return isRandom ? word : undefined;
}

function openingQuote(text: string, at: number): string {
  return /^\\{0,8}["'`]/.exec(text.slice(at, at + 9))?.[0] ?? "";
}

/** Up to the same quote, with as many backslashes before it; without one, to the end of the text. */
function quoted(text: string, start: number, quote: string): Range {
  for (let end = text.indexOf(quote, start); end >= 0; end = text.indexOf(quote, end + 1)) {
    let backslashes = 0;
    while (quote.length === 1 && text[end - 1 - backslashes] === "\\") backslashes++;
    const isDeeper = quote.length > 1 && text[end - 1] === "\\";
    if (quote === "'" && text[end + 1] === "'" && end > start) {
      end++;
      continue;
    }
    if (backslashes % 2 === 0 && !isDeeper) return { start, end };
  }
  return { start, end: text.length };
}

/** A list or an object as a whole. */
function bracketed(text: string, start: number): Range {
  let depth = 0;
  for (let end = start; end < text.length; end++) {
    const char = text[end];
    if (char === "{" || char === "[") depth++;
    else if ((char === "}" || char === "]") && --depth === 0) return { start, end: end + 1 };
  }
  return { start, end: text.length };
}

/**
 * In prose, a colon separates clauses: `fetch token: connection refused`. A plain word with more words behind it is no
 * value. All else is, to the end of the line: it may be a header with several words.
 */
function isProse(text: string, start: number): boolean {
  const beginning = text.slice(start, start + 32);
  const isSentence = /^(?:[a-zA-Z]?[a-z]{1,20}[ ,.:;]|[A-Z]{3,16}[:,] )/.test(beginning);
  return isSentence && !/^(?:bearer|basic|digest|negotiate|token|apikey) /i.test(beginning);
}

function until(text: string, start: number, mark: string): Range {
  const end = text.indexOf(mark, start);
  return { start, end: end < 0 ? text.length : end };
}

function run(text: string, start: number, stop: RegExp): Range {
  stop.lastIndex = start;
  return { start, end: stop.exec(text)?.index ?? text.length };
}
