// SPDX-License-Identifier: Apache-2.0
import { type Html, html, type Part } from "./html.ts";
import type { Reply } from "../../call.ts";
import { type Page, pageReply } from "./page.ts";
import { linkSection, type PageLink } from "./status-page.ts";

/** Nesting and entries beyond these are only in the JSON form. */
const deepest = 6;
const mostEntries = 200;

export interface FactsPage {
  readonly path: string;
  readonly about: string;
  readonly nowMs: number;
  readonly links: readonly PageLink[];
}

/** A reply for programs as a page for a browser: JSON as a list of facts, text as it is. Downloads stay downloads. */
export function forBrowser(reply: Reply, page: FactsPage): Reply {
  const { status, headers = {}, body = "" } = reply;
  const type = headers["Content-Type"] ?? "";
  if (typeof body !== "string" || headers["Content-Disposition"] !== undefined) return reply;
  if (type.startsWith("application/json")) return pageReply(factsPage(JSON.parse(body), page), status);
  return type.startsWith("text/plain") ? pageReply(textPage(body, page), status) : reply;
}

function factsPage(value: unknown, page: FactsPage): Page {
  const raw = html`<p class="quiet">Programs get JSON: <code>curl localhost:PORT${page.path}</code></p>`;
  return pageWith(html`${renderValue(value, 0)}${raw}`, page);
}

function textPage(text: string, page: FactsPage): Page {
  return pageWith(html`<pre>${text.split("\n").map((line) => html`${line}\n`)}</pre>`, page);
}

/** All pages. */
export function indexPage(links: readonly PageLink[], nowMs: number): Page {
  const content = html`${heading("Debug pages")}${linkSection(links)}`;
  return { title: "Debug pages (attache)", nowMs, mood: "neutral", isLive: false, content };
}

function pageWith(shown: Html, { path, about, nowMs, links }: FactsPage): Page {
  const content = html`${heading(path)}<section id="facts-of"><h2>${about}</h2>${shown}</section>${linkSection(links)}`;
  return { title: `${path} (attache)`, nowMs, mood: "neutral", isLive: false, content };
}

function heading(title: string): Html {
  return html`<header><p class="brand"><a href="/">attache</a></p><h1>${title}</h1></header>`;
}

function renderValue(value: unknown, depth: number): Part {
  if (value === null || value === undefined) return html`<span class="quiet">none</span>`;
  if (typeof value === "string") return renderText(value);
  if (typeof value === "number" || typeof value === "boolean") return String(value);
  if (typeof value !== "object") return undefined;
  if (depth >= deepest) return html`<span class="quiet">more in the JSON form</span>`;
  if (Array.isArray(value)) return renderList(value, depth);
  return renderFields(Object.entries(value), depth);
}

const isoForm = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z$/;

function renderText(text: string): Part {
  if (text === "") return html`<span class="quiet">empty</span>`;
  if (isoForm.test(text)) return html`<span class="code">${text}</span>`;
  return text.includes("\n") ? html`<pre>${text.split("\n").map((line) => html`${line}\n`)}</pre>` : text;
}

function renderFields(fields: readonly (readonly [string, unknown])[], depth: number): Part {
  if (fields.length === 0) return html`<span class="quiet">empty</span>`;
  const shown = fields
    .slice(0, mostEntries)
    .map(([name, value]) => html`<dt>${name}</dt><dd>${renderValue(value, depth + 1)}</dd>`);
  return html`<dl class="value">${shown}</dl>${rest(fields.length)}`;
}

/** Each entry below the other. */
function renderList(list: readonly unknown[], depth: number): Part {
  if (list.length === 0) return html`<span class="quiet">none</span>`;
  const shown = list.slice(0, mostEntries).map((one) => html`<li>${renderValue(one, depth + 1)}</li>`);
  return html`<ul>${shown}</ul>${rest(list.length)}`;
}

function rest(count: number): Html | undefined {
  return count > mostEntries ? html`<p class="quiet">and ${count - mostEntries} more in the JSON form</p>` : undefined;
}
