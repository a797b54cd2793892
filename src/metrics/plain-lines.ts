// SPDX-License-Identifier: Apache-2.0

/** Which sample lines may stay as they are. */
export interface PlainLineRules {
  /** Timestamps: none, milliseconds without a fraction, or seconds with one. */
  readonly timestamps: "none" | "milliseconds" | "seconds";
  readonly emptyLines: boolean;
}

const label = String.raw`[a-zA-Z_]\w*="[^"\\\n]*(?:\\["\\n][^"\\\n]*)*"`;
const number = String.raw`[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?`;
const series = String.raw`[a-zA-Z_:][\w:]*(?:\{(?:${label}(?:,(?!\})|(?=\})))*\})?`;
const timestampForms = { none: "", milliseconds: String.raw`(?: -?\d+)?`, seconds: `(?: ${number})?` } as const;

/** A call of the engine for each short line would take longer than the lines; more would need memory for a way back. */
const linesAtOnce = 50;

/**
 * Matches some lines with samples in their plainest form, with their line breaks: a name without quotes, single spaces, no
 * exemplar. Most lines are so, and need no conversion. No two parts of the expression can match the same text, so that it
 * reads each character once.
 * @returns for text in which each character is one byte; to be used from the beginning of a line, with `lastIndex`
 */
export function plainLinesPattern({ timestamps, emptyLines }: PlainLineRules): RegExp {
  const sample = `${series} (?:${number}|NaN|[+-]Inf)${timestampForms[timestamps]}`;
  const line = emptyLines ? `(?:${sample})?\\n` : `${sample}\\n`;
  return new RegExp(`(?:${line}){1,${String(linesAtOnce)}}`, "y");
}

/** The HELP line of a family, if it has one, and its TYPE line. */
export interface PlainDeclaration {
  readonly family: string;
  readonly type: string;
  readonly hasHelp: boolean;
  /** Index of what follows. */
  readonly end: number;
}

const plainDeclaration =
  /(?:# HELP [a-zA-Z_:][\w:]* [^\s\\][^\n\\]*\n)?# TYPE [a-zA-Z_:][\w:]* (?:counter|gauge|histogram|summary)\n/y;
const [help, type] = ["# HELP ", "# TYPE "];

/**
 * Reads the declaration of a family in the form that is the same in both formats. Most are so, and the two lines together
 * cost a tenth of the memory that they need one by one.
 * @param text in which each character is one byte @param at begins a line @returns undefined for any other form
 */
export function parsePlainDeclaration(text: string, at: number): PlainDeclaration | undefined {
  plainDeclaration.lastIndex = at;
  if (!plainDeclaration.test(text)) return undefined;
  const end = plainDeclaration.lastIndex;
  const hasHelp = text.startsWith(help, at);
  const typeAt = hasHelp ? text.indexOf("\n", at) + 1 : at;
  const nameEnd = text.indexOf(" ", typeAt + type.length);
  const family = text.slice(typeAt + type.length, nameEnd);
  if (hasHelp && !(isWord(text, at + help.length, family) && text.charCodeAt(typeAt - 2) > space)) return undefined;
  return { family, type: text.slice(nameEnd + 1, end - 1), hasHelp, end };
}

const space = 0x20;

function isWord(text: string, at: number, word: string): boolean {
  return text.startsWith(word, at) && text.charCodeAt(at + word.length) === space;
}
