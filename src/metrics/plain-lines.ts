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
