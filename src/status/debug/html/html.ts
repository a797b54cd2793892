// SPDX-License-Identifier: Apache-2.0
import { escapeControls } from "../../../lib/printable-text.ts";

/** Text that is HTML already: what `html` makes, and constants of this program. */
export class Html {
  readonly text: string;

  constructor(text: string) {
    this.text = text;
  }
}

/** What may stand in a template. Text is escaped; lists are joined; undefined is nothing. */
export type Part = string | number | Html | undefined | readonly Part[];

/** HTML of a template. Each part that is not HTML itself is escaped, so that no text of a peer becomes an element. */
export function html(strings: TemplateStringsArray, ...parts: readonly Part[]): Html {
  return new Html(strings.map((text, index) => text + renderPart(parts[index])).join(""));
}

function renderPart(part: Part): string {
  if (part === undefined) return "";
  if (part instanceof Html) return part.text;
  if (typeof part === "string") return escapeHtml(part);
  if (typeof part === "number") return String(part);
  return part.map(renderPart).join("");
}

/** For text from other programs, such as error messages; its control characters are shown. */
export function escapeHtml(text: string): string {
  return escapeControls(text).replaceAll(/[&<>"']/g, (char) => `&#${String(char.charCodeAt(0))};`);
}

/** Rows of one list on a page; a page with more is of no use, and the JSON form has them all. */
const mostRows = 100;

export interface Table {
  readonly id: string | undefined;
  /** What the table shows, for those who cannot see the heading above it. */
  readonly caption: string;
  readonly head: readonly string[];
  readonly rows: readonly (readonly Part[])[];
  /** Shown without rows. */
  readonly none: string;
}

/** A table whose rows become cards on a narrow screen: each cell has its heading. */
export function table({ id, caption, head, rows, none }: Table): Html {
  if (rows.length === 0) return html`<p${idOf(id)} class="quiet">${none}</p>`;
  const body = rows
    .slice(0, mostRows)
    .map((row) => html`<tr>${row.map((part, index) => cell(head[index], part))}</tr>`);
  const heads = head.map((text) => html`<th scope="col">${text}</th>`);
  return html`<table${idOf(id)}><caption>${caption}</caption><thead><tr>${heads}</tr></thead><tbody>${body}</tbody></table>${more(rows.length - mostRows)}`;
}

function idOf(id: string | undefined): Html | undefined {
  return id === undefined ? undefined : html` id="${id}"`;
}

function cell(label = "", part: Part): Html {
  // one element, which a card sets beside its label
  const content = part === undefined || part === "" ? undefined : html`<div>${part}</div>`;
  return html`<td data-label="${label}">${content}</td>`;
}

function more(count: number): Html | undefined {
  return count > 0 ? html`<p class="quiet">and ${count} more</p>` : undefined;
}

/** `3 min ago`, with the exact time on hover. The page's script keeps the text up to date. */
export function timeAgo(atMs: number, nowMs: number): Html {
  return time(atMs, "ago", `${duration(nowMs - atMs, 1)} ago`);
}

/** `3 min`, the time that something has lasted. */
export function timeFor(sinceMs: number, nowMs: number): Html {
  return time(sinceMs, "for", duration(nowMs - sinceMs, 1));
}

/** What is due is done within some seconds. */
const dueMs = 10_000;

/** `in 47 min 12 s` until a time, then `now`, and `3 min ago` later; counts down on the page. */
export function timeIn(atMs: number, nowMs: number): Html {
  if (nowMs - atMs >= dueMs) return timeAgo(atMs, nowMs);
  return time(atMs, "in", atMs > nowMs ? `in ${duration(atMs - nowMs, 2)}` : "now");
}

/** `47 min 12 s` until a time, and `3 min ago` after it. */
export function timeLeft(atMs: number, nowMs: number): Html {
  return atMs > nowMs ? time(atMs, "left", duration(atMs - nowMs, 2)) : timeAgo(atMs, nowMs);
}

function time(atMs: number, kind: "ago" | "for" | "in" | "left", text: string): Html {
  const exact = isoTime(atMs);
  return html`<time datetime="${exact}" title="${exact}" data-time="${kind}">${text}</time>`;
}

/** Peers set some times: dates that JavaScript does not have are shown as numbers. */
export function isoTime(ms: number): string {
  return Math.abs(ms) <= 8.64e15 ? new Date(ms).toISOString() : String(ms);
}

/** A duration in its largest units. The page's script has the same rule, which a test compares. */
export function duration(ms: number, most: 1 | 2): string {
  const seconds = Math.max(0, Math.floor(ms / 1_000));
  const counts: readonly (readonly [number, string])[] = [
    [Math.floor(seconds / 86_400), "d"],
    [Math.floor(seconds / 3_600) % 24, "h"],
    [Math.floor(seconds / 60) % 60, "min"],
    [seconds % 60, "s"],
  ];
  const first = counts.findIndex(([count]) => count > 0);
  if (first < 0) return "0 s";
  const isLong = (counts[0]?.[0] ?? 0) >= 10;
  const shown = counts.slice(first, first + (isLong ? 1 : most)).filter(([count], index) => index === 0 || count > 0);
  return shown.map(([count, unit]) => `${String(count)} ${unit}`).join(" ");
}
