// SPDX-License-Identifier: Apache-2.0
import type { JsonValue } from "../../lib/json.ts";
import type { Paint } from "../../lib/paint.ts";
import { escapeControls } from "../../lib/printable-text.ts";
import { renderTable } from "../../lib/text-table.ts";
import { ConfigDumpError } from "./config-dump-error.ts";
import { compareItems, type Differences, isSame } from "./differences.ts";
import type { DumpSource } from "./dump-source.ts";
import type { Listing, ListingOptions } from "./listing.ts";
import { renderDifferences } from "./render-differences.ts";
import { type SectionName, sections } from "./sections.ts";

/** What to print. */
export interface ConfigReport {
  readonly document: JsonValue;
  readonly text: string;
  /** For standard error. */
  readonly notes: readonly string[];
  /** Whether there is no difference; true without a comparison. */
  readonly isSame: boolean;
}

/** Lists sections of one configuration. */
export async function listSections(
  source: DumpSource,
  names: readonly SectionName[],
  options: ListingOptions,
): Promise<ConfigReport> {
  const listed: { readonly name: SectionName; readonly listing: Listing }[] = [];
  const notes: string[] = [];
  for (const name of names) {
    const own: string[] = [];
    const listing = await listOne(source, name, options, names.length > 1, own);
    // A saved dump has endpoints as the control plane sent them, without what Envoy knows of them.
    const replaced = name === "endpoints" && listing === undefined;
    const other = replaced ? await listOne(source, "eds", options, true, []) : undefined;
    if (listing !== undefined) listed.push({ name, listing });
    if (other === undefined) notes.push(...own);
    else listed.push({ name: "eds", listing: other });
  }
  const [only] = listed;
  const document = Object.fromEntries(listed.map(({ name, listing }) => [name, listing.document ?? null]));
  const texts = listed.map(({ name, listing }) => {
    const title = names.length > 1 ? `${sections[name].title.toUpperCase()}\n` : "";
    return `${title}${renderListing(name, listing)}`;
  });
  return {
    document: names.length === 1 ? (only?.listing.document ?? null) : document,
    text: texts.join("\n"),
    notes: [...notes, ...listed.flatMap(({ listing }) => listing.notes)],
    isSame: true,
  };
}

/** @param mayLack whether a part that the source does not have is left out, with a note */
async function listOne(
  source: DumpSource,
  name: SectionName,
  options: ListingOptions,
  mayLack: boolean,
  notes: string[],
): Promise<Listing | undefined> {
  try {
    return await sections[name].list(source, options);
  } catch (error) {
    if (!mayLack || !(error instanceof ConfigDumpError) || error.failure !== "missing") throw error;
    notes.push(error.message);
    return undefined;
  }
}

function renderListing(name: SectionName, { head, rows }: Listing): string {
  if (name === "bootstrap") {
    const width = Math.max(...rows.map(([label = ""]) => label.length)) + 2;
    return rows.map(([label = "", value = ""]) => `${`${label}:`.padEnd(width)}${escapeControls(value)}\n`).join("");
  }
  return rows.length === 0 ? `No ${sections[name].title} found.\n` : renderTable(head, rows);
}

/** Compares sections of two configurations. */
export async function compareSections(
  { before, after }: { readonly before: DumpSource; readonly after: DumpSource },
  names: readonly SectionName[],
  options: ListingOptions,
  paint: Paint,
): Promise<ConfigReport> {
  const kept = { ...options, keep: true };
  const compared: { readonly name: SectionName; readonly differences: Differences }[] = [];
  const notes: string[] = [];
  for (const name of names) {
    const old = await listOne(before, name, kept, names.length > 1, notes);
    const now = await listOne(after, name, kept, names.length > 1, notes);
    if (old === undefined || now === undefined) continue;
    compared.push({ name, differences: compareItems(old.items, now.items) });
  }
  const between = { before: before.name, after: after.name };
  const texts = compared.map(({ name, differences }) => {
    return renderDifferences(sections[name].title, between, differences, paint);
  });
  const documents: Record<string, JsonValue> = {};
  for (const { name, differences } of compared) documents[name] = differencesJson(differences);
  return {
    document: { ...between, sections: documents },
    text: texts.join(""),
    notes,
    isSame: compared.every(({ differences }) => isSame(differences)),
  };
}

function differencesJson({ added, removed, changed }: Differences): JsonValue {
  const changes = changed.map(({ name, changes: values }) => ({
    name,
    changes: values.map((value) => ({ ...value })),
  }));
  return { added, removed, changed: changes };
}
