// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { BudgetSpec } from "../../../src/lib/budget.ts";
import type { HostLimits } from "../../../src/lib/host-limits.ts";
import { type BudgetName, limits } from "../../../src/model/limits.ts";
import { renderLimitsPage } from "../../../src/model/limits/limits-page.ts";
import { growingCollections } from "../../fixtures/growing-collections.ts";
import { collectionsOf, findGrowingCollections } from "../../support/growing-collections.ts";
import { testBudgets, testHost } from "../../support/budgets.ts";

const specs = Object.entries<BudgetSpec>(limits);
const isName = (name: string): name is BudgetName => name in limits;

test("docs/limits.md shows the table of budgets", () => {
  expect(readFileSync("docs/limits.md", "utf8")).toBe(renderLimitsPage());
});

test("every budget of a connection, stream or type counts into one of the process, if into any", () => {
  for (const [name, { within }] of specs) {
    if (within === undefined) continue;
    expect(isName(within) ? limits[within].scope : undefined, name).toBe("process");
  }
});

test("a name and a meaning are one line each, and no budget is without size", () => {
  const least: HostLimits = { memoryBytes: 32 * 2 ** 20, heapBytes: 32 * 2 ** 20, openFiles: 1 };
  for (const [name, { meaning, size }] of specs) {
    expect(name).toMatch(/^[a-z0-9]+(-[a-z0-9]+)*$/);
    expect(meaning, name).toMatch(/^[A-Z].*\.$/);
    expect(size(least), name).toBeGreaterThan(0);
    expect(Number.isFinite(size(testHost)), name).toBe(true);
  }
});

test.each([256, 1_024, 4_096, 1_048_576])(
  "with %d open files, the budgets together leave the reserve alone",
  (files) => {
    const host = { ...testHost, openFiles: files - 64 };
    const budgets = testBudgets({}, host);
    const open = budgets.facts().reduce((sum, { spec, size }) => sum + (spec.openFiles ?? 0) * size, 0);
    expect(open).toBeLessThanOrEqual(host.openFiles);
  },
);

// It reads all sources, which takes long on a busy machine.
test("every collection that a peer may make grow has a budget, or a reason why no peer can", {
  timeout: 60_000,
}, () => {
  const known = Object.keys(growingCollections);
  const found = findGrowingCollections();
  const where = "see test/fixtures/growing-collections.ts: add the budget that limits it, or the reason";
  expect(
    found.filter((site) => !known.includes(site)),
    where,
  ).toEqual([]);
  expect(
    known.filter((site) => !found.includes(site)),
    "these are no more",
  ).toEqual([]);
  for (const [site, bound] of Object.entries(growingCollections)) {
    if ("budget" in bound) expect(isName(bound.budget), site).toBe(true);
    else expect(bound.reason.length, site).toBeGreaterThan(10);
  }
});

test.each([
  ["class A { readonly #kept = new Map<string, number>(); }", "#kept"],
  ["const seen = new Set<string>();", "seen"],
  ["function serve() { const waiting: Socket[] = []; return { add: (s) => waiting.push(s) }; }", "waiting"],
  ["function serve() { let text = ''; on((chunk) => { text += chunk; }); }".replaceAll("'", '"'), "text"],
  ["let received = Buffer.alloc(0); function on(c) { received = Buffer.concat([received, c]); }", "received"],
  ["const known = new Map(rows); function add(key) { known.set(key, 1); }", "known"],
])("a collection in %j is found", (text, name) => {
  expect(collectionsOf("a.ts", text)).toEqual([`a.ts ${name}`]);
});

test.each([
  "function parse(list) { const out = []; for (const one of list) out.push(one); return out; }",
  "const names = new Set([1, 2]);",
  "const empty = Buffer.alloc(0);",
])("what one call fills is not found: %j", (text) => {
  expect(collectionsOf("a.ts", text)).toEqual([]);
});

test("every budget limits something: code takes from it", () => {
  const sources = readdirSync("src", { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".ts") && !name.startsWith("gen/") && !name.startsWith("model/limits"))
    .map((name) => readFileSync(join("src", name), "utf8"));
  const isNamed = (name: string): boolean => sources.some((text) => text.includes(`of("${name}"`));
  const isShared = (name: string): boolean => specs.some(([part, { within }]) => within === name && isNamed(part));
  const unused = specs.map(([name]) => name).filter((name) => !isNamed(name) && !isShared(name));
  expect(unused).toEqual([]);
});
