// SPDX-License-Identifier: Apache-2.0
// Reads lines of Prometheus' text format and of OpenMetrics in one pass, without regular expressions that go back: the
// text is the application's.

/** A HELP, TYPE, UNIT or EOF line. */
export interface Declaration {
  readonly word: string;
  /** Without quotes; empty where there is none, or its quotes do not end. */
  readonly family: string;
  readonly rest: string;
}

const words: ReadonlySet<string> = new Set(["HELP", "TYPE", "UNIT", "EOF"]);

/** @param line begins with `#` @returns undefined for any other comment */
export function parseDeclaration(line: string): Declaration | undefined {
  const wordAt = skipSpace(line, 1);
  if (wordAt === 1) return undefined;
  const wordEnd = skipWord(line, wordAt);
  const word = line.slice(wordAt, wordEnd);
  if (!words.has(word)) return undefined;
  const familyAt = skipSpace(line, wordEnd);
  if (line[familyAt] === '"') {
    const name = parseQuoted(line, familyAt);
    return name === undefined
      ? { word, family: "", rest: "" }
      : { word, family: name.text, rest: line.slice(skipSpace(line, name.end)) };
  }
  const familyEnd = skipWord(line, familyAt);
  return { word, family: line.slice(familyAt, familyEnd), rest: line.slice(skipSpace(line, familyEnd)) };
}

export interface SampleLabel {
  readonly name: string;
  /** As written between the quotes, with its escapes. */
  readonly value: string;
}

/** A sample line. */
export interface SampleLine {
  readonly name: string;
  readonly labels: readonly SampleLabel[];
  readonly value: string;
  readonly timestamp: string | undefined;
  readonly exemplar: Exemplar | undefined;
}

export interface Exemplar {
  readonly labels: readonly SampleLabel[];
  readonly value: string;
  readonly timestamp: string | undefined;
}

/** @returns undefined for what is no sample */
export function parseSample(line: string): SampleLine | undefined {
  let at = skipSpace(line, 0);
  const nameEnd = skipName(line, at);
  let name = nameEnd > at ? line.slice(at, nameEnd) : undefined;
  at = skipSpace(line, nameEnd);
  let labels: readonly SampleLabel[] = [];
  if (line[at] === "{") {
    const parsed = parseLabels(line, at);
    // the name stands before the labels or among them
    if (parsed === undefined || (name === undefined) === (parsed.name === undefined)) return undefined;
    ({ labels } = parsed);
    name ??= parsed.name;
    at = skipSpace(line, parsed.end);
  } else if (at === nameEnd) return undefined;
  const numbers = parseNumbers(line, at);
  if (name === undefined || name === "" || numbers === undefined) return undefined;
  const { value, timestamp, end } = numbers;
  if (end === line.length) return { name, labels, value, timestamp, exemplar: undefined };
  return line[end] === "#" ? { name, labels, value, timestamp, exemplar: parseExemplar(line, end) } : undefined;
}

/** Undefined for what is no exemplar: the sample is valid without it. */
function parseExemplar(line: string, hash: number): Exemplar | undefined {
  const labels = parseLabels(line, skipSpace(line, hash + 1));
  if (labels === undefined || labels.name !== undefined) return undefined;
  const numbers = parseNumbers(line, skipSpace(line, labels.end));
  if (numbers?.end !== line.length) return undefined;
  return { labels: labels.labels, value: numbers.value, timestamp: numbers.timestamp };
}

/** Replaces the values of some labels of a sample. @param replace called for each label with its value as written */
export function mapLabels(line: string, replace: (name: string, value: string) => string): string {
  const open = line.indexOf("{");
  if (open < 0) return line;
  let changed = line.slice(0, open + 1);
  let copied = open + 1;
  let at = open + 1;
  while (at < line.length && line[at] !== "}") {
    const nameAt = at;
    while (at < line.length && line[at] !== '"' && line[at] !== "}") at++;
    if (line[at] !== '"') break;
    const valueEnd = endOfQuotes(line, at);
    const name = line.slice(nameAt, at);
    if (name.endsWith("=")) {
      const value = line.slice(at + 1, valueEnd);
      changed += line.slice(copied, at + 1) + replace(name.slice(0, -1).trim(), value);
      copied = valueEnd;
    }
    at = valueEnd + 1;
    if (line[at] === ",") at++;
  }
  return changed + line.slice(copied);
}

/** A value, and a timestamp if there is one; `end` is the index of what follows. */
function parseNumbers(line: string, from: number) {
  const valueEnd = skipWord(line, from);
  if (valueEnd === from) return undefined;
  const at = skipSpace(line, valueEnd);
  const timestampEnd = line[at] === "#" ? at : skipWord(line, at);
  const timestamp = timestampEnd === at ? undefined : line.slice(at, timestampEnd);
  return { value: line.slice(from, valueEnd), timestamp, end: skipSpace(line, timestampEnd) };
}

/** @param open of the brace @returns undefined for what is no list of labels; `name` is a name that stands among them */
function parseLabels(line: string, open: number) {
  if (line[open] !== "{") return undefined;
  const labels: SampleLabel[] = [];
  let name: string | undefined;
  let at = skipSpace(line, open + 1);
  while (line[at] !== "}") {
    const quoted = line[at] === '"' ? parseQuoted(line, at) : undefined;
    const labelEnd = quoted?.end ?? skipName(line, at);
    const label = quoted?.text ?? line.slice(at, labelEnd);
    if (labelEnd === at || label === "") return undefined;
    at = skipSpace(line, labelEnd);
    if (line[at] === "=") {
      at = skipSpace(line, at + 1);
      const valueEnd = line[at] === '"' ? endOfQuotes(line, at) : line.length;
      if (valueEnd >= line.length) return undefined;
      labels.push({ name: label, value: line.slice(at + 1, valueEnd) });
      at = skipSpace(line, valueEnd + 1);
    } else {
      if (quoted === undefined || name !== undefined) return undefined;
      name = label;
    }
    if (line[at] === ",") at = skipSpace(line, at + 1);
    else if (line[at] !== "}") return undefined;
  }
  return { labels, name, end: at + 1 };
}

/** @param open of the opening quote @returns undefined without a closing one */
function parseQuoted(line: string, open: number): { readonly text: string; readonly end: number } | undefined {
  const close = endOfQuotes(line, open);
  if (close >= line.length) return undefined;
  const text = line.slice(open + 1, close);
  return { text: text.includes("\\") ? unescaped(text) : text, end: close + 1 };
}

function unescaped(text: string): string {
  return text.replace(/\\([\\"n])/g, (_, char: string) => (char === "n" ? "\n" : char));
}

/** The index of the closing quote, or of the line's end. @param open of the opening quote */
function endOfQuotes(line: string, open: number): number {
  let at = open + 1;
  while (at < line.length && line[at] !== '"') at += line[at] === "\\" ? 2 : 1;
  return Math.min(at, line.length);
}

const [tab, carriageReturn, space] = [0x09, 0x0d, 0x20];

/** False behind the end of the line. */
function isSpace(line: string, at: number): boolean {
  const code = line.charCodeAt(at);
  return code === space || code === tab || code === carriageReturn;
}

function skipSpace(line: string, from: number): number {
  let at = from;
  while (isSpace(line, at)) at++;
  return at;
}

function skipWord(line: string, from: number): number {
  let at = from;
  while (at < line.length && !isSpace(line, at)) at++;
  return at;
}

/** Names in quotes may have any character; without quotes dots, dashes and slashes are common mistakes. */
function skipName(line: string, from: number): number {
  let at = from;
  while (at < line.length && isNameChar(line.charCodeAt(at))) at++;
  return at;
}

function isNameChar(code: number): boolean {
  const lower = code | 0x20;
  // digits and the colon are next to each other, and so are `-`, `.` and `/`
  return (lower >= 0x61 && lower <= 0x7a) || (code >= 0x2d && code <= 0x3a) || code === 0x5f;
}
