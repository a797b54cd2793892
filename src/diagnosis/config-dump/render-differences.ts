// SPDX-License-Identifier: Apache-2.0
import type { JsonValue } from "../../lib/json.ts";
import type { Paint } from "../../lib/paint.ts";
import { escapeControls } from "../../lib/printable-text.ts";
import { type Differences, isSame, type ValueDifference } from "./differences.ts";

/** Longest value on a line; the rest is in the JSON output. */
const valueLength = 120;

/** Most values of one thing; the rest is in the JSON output. */
const mostChanges = 50;

/** What differs, for a person: one line for each value. */
export function renderDifferences(
  title: string,
  { before, after }: { readonly before: string; readonly after: string },
  differences: Differences,
  paint: Paint,
): string {
  const { added, removed, changed } = differences;
  const names = `${before} -> ${after}`;
  if (isSame(differences)) return `${title}: no difference, ${escapeControls(names)}\n`;
  const counts = [
    [changed.length, "changed"],
    [added.length, "added"],
    [removed.length, "removed"],
  ] as const;
  const summary = counts.filter(([count]) => count > 0).map(([count, what]) => `${String(count)} ${what}`);
  const lines = [
    paint("strong", `${title}: ${summary.join(", ")}, ${escapeControls(names)}`),
    ...removed.map((name) => paint("bad", `- ${escapeControls(name)}`)),
    ...added.map((name) => paint("good", `+ ${escapeControls(name)}`)),
    ...changed.flatMap(({ name, changes }) => [
      paint("warning", `~ ${escapeControls(name)}`),
      ...changes.slice(0, mostChanges).map((change) => `    ${renderChange(change)}`),
      ...(changes.length > mostChanges
        ? [`    and ${String(changes.length - mostChanges)} more; -o json has all`]
        : []),
    ]),
  ];
  return lines.map((line) => `${line}\n`).join("");
}

function renderChange({ path, before, after }: ValueDifference): string {
  const name = escapeControls(path);
  if (before === undefined) return `${name}: added ${renderValue(after)}`;
  if (after === undefined) return `${name}: removed ${renderValue(before)}`;
  return `${name}: ${renderValue(before)} -> ${renderValue(after)}`;
}

function renderValue(value: JsonValue | undefined): string {
  const text = escapeControls(JSON.stringify(value ?? null));
  return text.length > valueLength ? `${text.slice(0, valueLength)}…` : text;
}
