// SPDX-License-Identifier: Apache-2.0
import { isJsonList, isJsonObject, type JsonObject, type JsonValue, tryParseJson } from "../../../lib/json.ts";
import type { Reply } from "../../call.ts";
import { type Html, html, type Part, table, timeIn } from "./html.ts";
import { type Page, pageReply } from "./page.ts";
import { linkSection, type PageLink } from "./status-page.ts";

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
  if (type.startsWith("application/json")) return pageReply(factsPage(tryParseJson(body), page), status);
  return type.startsWith("text/plain") ? pageReply(pageWith(lines(body), page), status) : reply;
}

/** All pages. */
export function indexPage(links: readonly PageLink[], nowMs: number): Page {
  const content = html`${heading("Debug pages")}${linkSection(links)}`;
  return { title: "Debug pages (attache)", nowMs, mood: "neutral", isLive: false, content };
}

/** @param value undefined for a text that is too large to be shown */
function factsPage(value: JsonValue | undefined, page: FactsPage): Page {
  const facts = value === undefined ? quiet("too much for a page") : new FactsHtml(page.nowMs).value(value, 0);
  return pageWith(
    html`${facts}<p class="quiet">Programs get JSON: <code>curl localhost:PORT${page.path}</code></p>`,
    page,
  );
}

function pageWith(shown: Html, { path, about, nowMs, links }: FactsPage): Page {
  const content = html`${heading(path)}<section id="facts-of"><h2>${about}</h2>${shown}</section>${linkSection(links)}`;
  return { title: `${path} (attache)`, nowMs, mood: "neutral", isLive: false, content };
}

function heading(title: string): Html {
  return html`<header><p class="brand">attache</p><h1 class="pod">${title}</h1><p><a href="/">Status page</a></p></header>`;
}

function lines(text: string): Html {
  return html`<pre>${text
    .trimEnd()
    .split("\n")
    .map((line) => html`${line}\n`)}</pre>`;
}

/** Nesting and entries beyond these are only in the JSON form. */
const deepest = 6;
const mostEntries = 200;
/** Objects with more fields are easier to read one below the other. */
const mostColumns = 8;
const isoForm = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z$/;

/** JSON values as HTML. */
class FactsHtml {
  readonly #nowMs: number;

  constructor(nowMs: number) {
    this.#nowMs = nowMs;
  }

  value(value: JsonValue, depth: number): Part {
    if (value === null) return quiet("none");
    if (typeof value === "string") return this.#text(value);
    if (typeof value !== "object") return JSON.stringify(value);
    if (depth >= deepest) return quiet("more in the JSON form");
    if (isJsonList(value)) return this.#list(value, depth);
    return isJsonObject(value) ? this.#fields(value, depth) : JSON.stringify(value);
  }

  #text(text: string): Part {
    if (text === "") return quiet("empty");
    if (isoForm.test(text)) return html`<span class="code">${text}</span> (${timeIn(Date.parse(text), this.#nowMs)})`;
    return text.includes("\n") ? lines(text) : text;
  }

  #fields(record: JsonObject, depth: number): Part {
    const entries = fieldsOf(record);
    if (entries.length === 0) return quiet("empty");
    const shown = entries
      .slice(0, mostEntries)
      .map(([name, value]) => html`<dt>${name}</dt><dd>${this.value(value, depth + 1)}</dd>`);
    return html`<dl class="value">${shown}</dl>${rest(entries.length)}`;
  }

  #list(list: readonly JsonValue[], depth: number): Part {
    if (list.length === 0) return quiet("none");
    const head = columnsOf(list);
    const shown = list.slice(0, mostEntries);
    if (head === undefined) {
      const items = shown.map((one) => html`<li>${this.value(one, depth + 1)}</li>`);
      return html`<ul class="list">${items}</ul>${rest(list.length)}`;
    }
    const rows = shown
      .filter(isJsonObject)
      .map((one) => head.map((name) => (one[name] === undefined ? undefined : this.value(one[name], depth + 1))));
    return html`${table({ id: undefined, caption: "entries", head, rows, none: "none" })}`;
  }
}

/** The fields of all entries, where they are objects with few of them; undefined otherwise. */
function columnsOf(list: readonly JsonValue[]): readonly string[] | undefined {
  const names = new Set<string>();
  for (const one of list) {
    if (!isJsonObject(one)) return undefined;
    for (const [name, value] of fieldsOf(one)) {
      if (isJsonList(value) && value.some(isJsonObject)) return undefined;
      if (typeof value === "string" && value.includes("\n")) return undefined;
      names.add(name);
    }
    if (names.size > mostColumns) return undefined;
  }
  return names.size === 0 ? undefined : [...names];
}

/** A time that is there in both forms is shown once. */
function fieldsOf(record: JsonObject): readonly (readonly [string, JsonValue])[] {
  return Object.entries(record).filter(([name]) => !name.endsWith("Ms") || record[name.slice(0, -2)] === undefined);
}

function quiet(text: string): Html {
  return html`<span class="quiet">${text}</span>`;
}

function rest(count: number): Html | undefined {
  return count > mostEntries ? html`<p class="quiet">and ${count - mostEntries} more in the JSON form</p>` : undefined;
}
