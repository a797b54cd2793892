// SPDX-License-Identifier: Apache-2.0

const codes = { good: "32", bad: "31", warning: "33", quiet: "2", strong: "1" } as const;

/** Adds colour to a text, or returns it as it is. Never the only carrier of a meaning. */
export type Paint = (style: keyof typeof codes, text: string) => string;

export const noPaint: Paint = (_style, text) => text;

export const terminalPaint: Paint = (style, text) => `\u001B[${codes[style]}m${text}\u001B[0m`;
