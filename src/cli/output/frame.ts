// SPDX-License-Identifier: Apache-2.0

const escape = "\u001B[";

/** Replaces what a terminal shows by a text; what does not fit on it is left out, at the end. */
export function renderFrame(text: string, rows: number | undefined): string {
  const lines = text.replace(/\n$/, "").split("\n");
  const fitting = rows === undefined || lines.length < rows ? lines : [...lines.slice(0, Math.max(1, rows - 2)), "..."];
  // Written over what was there, so that nothing flickers.
  return `${escape}H${fitting.map((line) => `${line}${escape}K\n`).join("")}${escape}J`;
}
