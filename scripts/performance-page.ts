// SPDX-License-Identifier: Apache-2.0
// `node scripts/performance-page.ts`: the table and the plots of docs/performance.md from docs/performance.json, which
// `npm run bench -- --json docs/performance.json` writes.
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { SummarizedComparison, Summary } from "./bench/comparison.ts";
import type { Machine } from "./bench/machine.ts";
import { renderCurves } from "./bench/curves.ts";
import { isBusy, percent, type SuiteReport } from "./bench/report.ts";

const docs = join(import.meta.dirname, "../docs");
const begin = "<!-- begin: scripts/performance-page.ts -->";
const end = "<!-- end: scripts/performance-page.ts -->";

interface Run {
  readonly machine: Machine;
  readonly suites: readonly SuiteReport[];
}

function renderRun({ machine, suites }: Run): string {
  const { commit, date, processors, processor, memoryMb, kernel, node } = machine;
  const where = `${String(processors)} processors (${processor}), ${String(memoryMb)} MB, Linux ${kernel}, Node.js ${node}`;
  return `Commit ${commit}, ${date}; ${where}.\n\n${suites.map(renderSuite).join("\n")}`;
}

function renderSuite(report: SuiteReport): string {
  const rows = report.rows.filter((row) => "samples" in row);
  const busy = isBusy(report) ? ` Other work had ${percent(report.otherWork)} of a processor meanwhile.` : "";
  const head = "| min / median / max | attache | reference | ratio | peer | ratio |\n|---|---|---|---|---|---|";
  const lines = rows.map((row) => `| ${cellsOf(row).join(" | ")} |`);
  return `### ${report.suite}\n\n${report.seconds.toFixed(0)} s.${busy}\n\n${[head, ...lines].join("\n")}\n`;
}

function cellsOf({ name, unit, summaries, ratios }: SummarizedComparison): readonly string[] {
  const of = (summary: Summary | undefined): string =>
    summary === undefined
      ? ""
      : [summary.min, summary.median, summary.max].map((value) => value.toFixed(value < 10 ? 2 : 1)).join(" / ");
  const ratio = (value: number | undefined): string => (value === undefined ? "" : `${value.toFixed(2)}x`);
  return [
    `${name}, ${unit}`,
    of(summaries.attache),
    of(summaries.reference),
    ratio(ratios.reference?.median),
    of(summaries.peer),
    ratio(ratios.peer?.median),
  ];
}

const run = JSON.parse(readFileSync(join(docs, "performance.json"), "utf8")) as Run;
const rows = run.suites.flatMap((suite) => suite.rows.filter((row) => "samples" in row));
for (const figure of ["processor time", "private memory"] as const) {
  const file = `growth-${figure.replace(" ", "-")}.svg`;
  writeFileSync(join(docs, "images", file), renderCurves(rows, figure));
}
const page = join(docs, "performance.md");
const text = readFileSync(page, "utf8");
const [before = "", rest = ""] = text.split(begin);
writeFileSync(page, `${before}${begin}\n\n${renderRun(run)}\n${end}${rest.split(end)[1] ?? ""}`);
