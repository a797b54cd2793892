// SPDX-License-Identifier: Apache-2.0
import { escapeControls } from "./printable-text.ts";

/** As kubectl leaves between two columns. */
const gap = "   ";

/**
 * Aligned columns without borders, as kubectl prints them: heads in upper case, each row on one line. Control characters
 * of cells are escaped. The last column is not padded.
 * @param rows each with as many cells as the head; empty cells show `-`
 */
export function renderTable(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const shown = [head.map((name) => name.toUpperCase()), ...rows.map((row) => row.map(cell))];
  // a table may have more rows than a call has arguments
  const widths = head.map((_, column) => shown.reduce((most, row) => Math.max(most, (row[column] ?? "").length), 0));
  const line = (row: readonly string[]): string =>
    row.map((text, column) => (column === row.length - 1 ? text : text.padEnd(widths[column] ?? 0))).join(gap);
  return shown.map((row) => `${line(row).trimEnd()}\n`).join("");
}

function cell(text: string): string {
  return text === "" ? "-" : escapeControls(text);
}
