// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { listEds, listEndpoints, listSecrets } from "../../../../src/diagnosis/config-dump/endpoint-listings.ts";
import { type Filters, type ListingOptions, noFilters } from "../../../../src/diagnosis/config-dump/listing.ts";
import {
  listBootstrap,
  listClusters,
  listExtensions,
  listListeners,
  listRoutes,
} from "../../../../src/diagnosis/config-dump/listings.ts";
import type { JsonValue } from "../../../../src/lib/json.ts";
import { listingOptions, parseTable, readRecorded, recordedNames, recordedSource } from "./dump-fixtures.ts";

const tables = {
  cluster: listClusters,
  listener: listListeners,
  route: listRoutes,
  endpoint: listEndpoints,
  eds: listEds,
  secret: listSecrets,
  ecds: listExtensions,
} as const;

type Row = readonly string[];

const cases = recordedNames.flatMap((name) => {
  const recorded = readRecorded(name);
  return Object.entries(tables).flatMap(([section, list]) => {
    const lines = recorded.tables[section];
    return lines === undefined ? [] : [{ name, section, list, recorded, lines }];
  });
});

async function listAs(name: string, section: keyof typeof tables, options: Partial<ListingOptions> = {}) {
  const { recordedMs: nowMs } = readRecorded(name);
  const source = recordedSource(name, section === "endpoint" ? "clusters" : "dump");
  return await tables[section](source, listingOptions({ nowMs, ...options }));
}

/** istioctl's sort is not stable: rows of equal keys, and route names that are no ports, have any order. */
function sorted(rows: readonly Row[]): readonly Row[] {
  return rows.map((row) => [...row]).sort((a, b) => (a.join("\0") < b.join("\0") ? -1 : 1));
}

/** Static secrets, which istioctl leaves out. */
function isRecorded(section: string, row: Row): boolean {
  return section !== "secret" || !row.includes("STATIC");
}

describe.each(cases)("$section of $name", ({ name, section, list, recorded, lines }) => {
  test("has istioctl's columns and rows", async () => {
    const source = recordedSource(name, section === "endpoint" ? "clusters" : "dump");
    const { head, rows } = await list(source, listingOptions({ nowMs: recorded.recordedMs }));
    const theirs = parseTable(lines);
    expect(head.map((text) => text.toUpperCase())).toEqual(theirs.head);
    expect(sorted(rows.filter((row) => isRecorded(section, row)))).toEqual(sorted(theirs.rows));
  });

  test("has istioctl's JSON, field by field", async () => {
    const source = recordedSource(name, section === "endpoint" ? "clusters" : "dump");
    const { document } = await list(source, listingOptions({ nowMs: recorded.recordedMs }));
    expect(byName(document)).toEqual(byName(recorded.documents[section]));
  });
});

/** Items of a list by name, because the order of istioctl's unstable sort is any. */
function byName(document: JsonValue | undefined): unknown {
  if (!Array.isArray(document)) return document;
  return document.map((item) => JSON.stringify(item, sortKeys)).sort();
}

function sortKeys(_key: string, value: unknown): unknown {
  if (typeof value !== "object" || value === null || Array.isArray(value)) return value;
  return Object.fromEntries(Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1)));
}

test("clusters and listeners have istioctl's order too", async () => {
  for (const name of recordedNames) {
    for (const section of ["cluster", "endpoint", "eds"] as const) {
      const { rows } = await listAs(name, section);
      expect([name, section, rows]).toEqual([name, section, parseTable(readRecorded(name).tables[section] ?? []).rows]);
    }
    const ports = (rows: readonly Row[]): readonly unknown[] => rows.map(([addresses, port]) => [addresses, port]);
    const { rows } = await listAs(name, "listener");
    expect(ports(rows)).toEqual(ports(parseTable(readRecorded(name).tables["listener"] ?? []).rows));
  }
});

test.each(recordedNames)("without the rows of each, listeners and routes of %s are as istioctl's", async (name) => {
  for (const section of ["listener", "route"] as const) {
    const { head, rows } = await listAs(name, section, { verbose: false });
    const theirs = parseTable(readRecorded(name).tables[`${section} --verbose=false`] ?? []);
    expect([head.map((text) => text.toUpperCase()), sorted(rows)]).toEqual([theirs.head, sorted(theirs.rows)]);
  }
});

test.each(recordedNames)("the bootstrap of %s has istioctl's versions and document", async (name) => {
  const { tables: recorded, documents } = readRecorded(name);
  const { rows, document } = await listBootstrap(recordedSource(name), listingOptions({ filters: noFilters }));
  const shown = rows.filter(([label = ""]) => label.endsWith("Version"));
  const theirs = (recorded["bootstrap"] ?? []).map((line) => line.split(/:\s+/));
  expect(shown).toEqual(theirs);
  expect(document).toEqual(documents["bootstrap"]);
});

const filtered = recordedNames.flatMap((name) => readRecorded(name).filtered.map((one) => ({ name, ...one })));

test.each(filtered)(
  "$section $flags of $name leaves what istioctl's filter leaves",
  async ({ name, section, flags, lines }) => {
    const filters: Record<string, string | number> = { ...noFilters };
    for (let index = 0; index < flags.length; index += 2) {
      const flag = (flags[index] ?? "").slice(2);
      const value = flags[index + 1] ?? "";
      filters[flag === "address" ? "host" : flag] = flag === "port" ? Number(value) : value;
    }
    const { rows } = await listAs(name, section as keyof typeof tables, { filters: filters as unknown as Filters });
    expect(sorted(rows)).toEqual(sorted(parseTable(lines).rows));
  },
);
