// SPDX-License-Identifier: Apache-2.0
// `npm run bench`: runs every bench of scripts/bench/, `npm run bench -- startup memory` the named ones, and prints
// their figures. The exit code is 1 when a figure is over its limit.
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { findEnvoy } from "./envoy.mjs";
import type { Bench, Figure } from "./bench/figure.ts";

/** A bench is a file of the folder with a `run`; the others are parts of one. */
async function loadBenches(): Promise<ReadonlyMap<string, Bench>> {
  const folder = join(import.meta.dirname, "bench");
  const benches = new Map<string, Bench>();
  for (const file of readdirSync(folder).filter((name) => name.endsWith(".bench.ts"))) {
    const bench = (await import(join(folder, file))) as Bench;
    benches.set(bench.name, bench);
  }
  return benches;
}

function renderTable(figures: readonly Figure[]): string {
  const rows = figures.map(({ name, value, unit, limit }) => [
    name,
    value.toFixed(value < 10 ? 2 : 1),
    unit,
    limit === undefined ? "" : `${value <= limit ? "within" : "OVER"} ${String(limit)} ${unit}`,
  ]);
  const widths = [0, 1, 2, 3].map((column) => Math.max(...rows.map((row) => (row[column] ?? "").length)));
  const line = (row: readonly string[]): string =>
    row
      .map((cell, column) => (column === 1 ? cell.padStart(widths[column] ?? 0) : cell.padEnd(widths[column] ?? 0)))
      .join("  ")
      .trimEnd();
  return rows.map((row) => `  ${line(row)}\n`).join("");
}

const benches = await loadBenches();
const wanted = process.argv.slice(2);
const unknown = wanted.filter((name) => !benches.has(name));
process.env["ENVOY_PATH"] = (await findEnvoy()).path;
if (unknown.length > 0) {
  console.error(`no bench ${unknown.join(", ")}; there are ${[...benches.keys()].join(", ")}`);
  process.exitCode = 64;
} else {
  for (const [name, bench] of benches) {
    if (wanted.length > 0 && !wanted.includes(name)) continue;
    process.stdout.write(`${name}\n`);
    const figures = await bench.run();
    process.stdout.write(renderTable(figures));
    if (figures.some(({ value, limit }) => limit !== undefined && !(value <= limit))) process.exitCode = 1;
  }
}
