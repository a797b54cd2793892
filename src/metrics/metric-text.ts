// SPDX-License-Identifier: Apache-2.0
// Reads lines of Prometheus' text format and of OpenMetrics in one pass, without regular expressions: the text is the
// application's.

/** A HELP, TYPE, UNIT or EOF line. */
export interface Declaration {
  readonly word: string;
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
  const familyEnd = skipWord(line, familyAt);
  return { word, family: line.slice(familyAt, familyEnd), rest: line.slice(skipSpace(line, familyEnd)) };
}

/** The parts of a sample line, as they are in the text. */
export interface SampleLine {
  /** Name and labels. */
  readonly series: string;
  readonly value: string;
  readonly timestamp: string | undefined;
}

/** @returns undefined for what is no sample. What follows the timestamp, such as an exemplar, is left out. */
export function parseSample(line: string): SampleLine | undefined {
  const seriesEnd = endOfSeries(line);
  if (seriesEnd === 0 || line[seriesEnd] !== " ") return undefined;
  const valueEnd = skipWord(line, seriesEnd + 1);
  if (valueEnd === seriesEnd + 1) return undefined;
  const next = line[valueEnd + 1];
  const hasTimestamp = line[valueEnd] === " " && next !== undefined && next !== "#" && !isSpace(line, valueEnd + 1);
  return {
    series: line.slice(0, seriesEnd),
    value: line.slice(seriesEnd + 1, valueEnd),
    timestamp: hasTimestamp ? line.slice(valueEnd + 1, skipWord(line, valueEnd + 1)) : undefined,
  };
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

/** The index after name and labels; 0 when there is neither. */
function endOfSeries(line: string): number {
  let at = 0;
  while (at < line.length && line[at] !== "{" && !isSpace(line, at)) at++;
  if (line[at] !== "{") return at;
  for (at++; at < line.length && line[at] !== "}"; at++) if (line[at] === '"') at = endOfQuotes(line, at);
  return at < line.length ? at + 1 : 0;
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
