// SPDX-License-Identifier: Apache-2.0

const escape = "\u001B[";

/** Replaces what a terminal shows by a text; what does not fit on it is left out, at the end. */
export function renderFrame(text: string, rows: number | undefined): string {
  const lines = text.replace(/\n$/, "").split("\n");
  const fitting = rows === undefined || lines.length < rows ? lines : cut(lines, Math.max(1, rows - 2));
  // Written over what was there, so that nothing flickers.
  return `${escape}H${fitting.map((line) => `${line}${escape}K\n`).join("")}${escape}J`;
}

function cut(lines: readonly string[], count: number): readonly string[] {
  const left = lines.length - count;
  return [...lines.slice(0, count), `… ${String(left)} more ${left === 1 ? "line" : "lines"}`];
}
