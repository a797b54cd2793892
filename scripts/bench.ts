// SPDX-License-Identifier: Apache-2.0
// `npm run bench`: runs the benches of scripts/bench/, `npm run bench -- startup memory` the named ones, and prints
// their figures; `--json FILE` writes them too; `--check` compares the suite of this name with the recorded ratios, and
// `--record` replaces them. The exit code is 1 when a figure is over its limit and the machine had
// no other work, or when a suite's load was less than it says.
import { readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { parseArgs } from "node:util";
import { findEnvoy } from "./envoy.mjs";
import { describeMachine } from "./bench/machine.ts";
import type { Bench } from "./bench/figure.ts";
import { LoadError } from "./bench/load-assertion.ts";
import { watchMachine } from "./bench/machine-load.ts";
import { findPeer } from "./bench/peer.ts";
import { findRegressions, type RecordedRow, record, renderRegression } from "./bench/regressions.ts";
import { isBusy, overLimits, percent, renderReport, reportOf, type SuiteReport } from "./bench/report.ts";

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

async function measure(bench: Bench): Promise<SuiteReport> {
  const machine = await watchMachine();
  const startMs = performance.now();
  try {
    const rows = await bench.run();
    return reportOf(bench.name, (performance.now() - startMs) / 1_000, await machine.stop(), rows);
  } finally {
    await machine[Symbol.asyncDispose]();
  }
}

const recordedPath = join(import.meta.dirname, "bench/recorded.json");

function readRecorded(): readonly RecordedRow[] {
  return JSON.parse(readFileSync(recordedPath, "utf8")) as readonly RecordedRow[];
}

/** Memory and blocks are judged on a busy machine too. */
function regressionsOf(report: SuiteReport): readonly string[] {
  const { suite, rows } = report;
  const comparisons = rows.filter((row) => "samples" in row);
  return findRegressions(suite, comparisons, readRecorded(), isBusy(report)).map(renderRegression);
}

function recordRatios({ suite, rows }: SuiteReport): void {
  const comparisons = rows.filter((row) => "samples" in row);
  writeFileSync(recordedPath, `${JSON.stringify(record(suite, comparisons, readRecorded()), undefined, 2)}\n`);
}

/** @returns the exit code */
async function runBenches(benches: readonly Bench[], jsonPath: string | undefined): Promise<number> {
  const peer = findPeer();
  if (peer !== undefined) process.stdout.write(`peer: ${peer.path}\n`);
  const reports: SuiteReport[] = [];
  const failures: string[] = [];
  for (const bench of benches) {
    try {
      const report = await measure(bench);
      reports.push(report);
      process.stdout.write(renderReport(report));
      if (values.check === true) failures.push(...regressionsOf(report));
      if (values.record === true) recordRatios(report);
      if (!isBusy(report)) failures.push(...overLimits(report).map((row) => `${bench.name}: ${row} is over its limit`));
    } catch (error) {
      if (!(error instanceof LoadError)) throw error;
      process.stdout.write(`${bench.name}: ${error.message}\n`);
      failures.push(`${bench.name}: ${error.message}`);
    }
  }
  const machine = await describeMachine();
  if (jsonPath !== undefined)
    writeFileSync(jsonPath, `${JSON.stringify({ machine, suites: reports }, undefined, 1)}\n`);
  const seconds = reports.reduce((sum, report) => sum + report.seconds, 0);
  process.stdout.write(`${String(reports.length)} suites: ${seconds.toFixed(0)} s\n`);
  const busy = reports.filter(isBusy);
  if (busy.length > 0) {
    const names = busy.map(({ suite, otherWork }) => `${suite} (${percent(otherWork)} of a processor)`).join(", ");
    process.stdout.write(`BUSY: other work ran beside ${names}; their limits were not judged\n`);
  }
  for (const failure of failures) process.stdout.write(`FAILED: ${failure}\n`);
  return failures.length > 0 ? 1 : 0;
}

const { values, positionals } = parseArgs({
  options: { json: { type: "string" }, check: { type: "boolean" }, record: { type: "boolean" } },
  allowPositionals: true,
});
const comparesWithRecorded = values.check === true || values.record === true;
const wanted = comparesWithRecorded ? ["check"] : positionals;
const benches = await loadBenches();
const unknown = wanted.filter((name) => !benches.has(name));
process.env["ENVOY_PATH"] = (await findEnvoy()).path;
if (unknown.length > 0) {
  console.error(`no bench ${unknown.join(", ")}; there are ${[...benches.keys()].join(", ")}`);
  process.exitCode = 64;
} else {
  const chosen = [...benches.values()].filter(({ name, onlyNamed = false }) =>
    wanted.length > 0 ? wanted.includes(name) : !onlyNamed,
  );
  process.exitCode = await runBenches(chosen, values.json);
}
