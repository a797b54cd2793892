// SPDX-License-Identifier: Apache-2.0
// `npm run bench -- --check`: the ratios of a run beside those that were recorded.
import type { SummarizedComparison } from "./comparison.ts";

/** A row as it was recorded: a ratio, which holds on other machines. */
export interface RecordedRow {
  readonly suite: string;
  readonly row: string;
  /** Attache's least sample divided by the reference's. */
  readonly ratio: number;
  /** How much more attache may need than this ratio times the reference, in the row's unit. */
  readonly above: number;
  /** Not judged beside other work, which lengthens processor time too: caches are shared. */
  readonly onlyQuiet?: boolean;
}

export interface Regression {
  readonly suite: string;
  readonly row: string;
  /** How much more than the recorded ratio gives, in the row's unit. */
  readonly above: number;
  readonly allowed: number;
  readonly unit: string;
}

/**
 * Looks at the least samples: other work on the machine makes a sample larger, a regression all of them.
 * @returns the rows that need more than they may
 * @throws when a recorded row was not measured
 */
export function findRegressions(
  suite: string,
  rows: readonly SummarizedComparison[],
  recorded: readonly RecordedRow[],
  isBusy = false,
): readonly Regression[] {
  return recorded
    .filter((entry) => entry.suite === suite && !(isBusy && entry.onlyQuiet === true))
    .flatMap(({ row: name, ratio, above: allowed }) => {
      const row = rows.find((each) => each.name === name);
      const [attache, reference] = [row?.summaries.attache?.min, row?.summaries.reference?.min];
      if (row === undefined || attache === undefined || reference === undefined) {
        throw new Error(`${suite} did not measure what was recorded: ${name}`);
      }
      const above = attache - ratio * reference;
      return above > allowed ? [{ suite, row: name, above, allowed, unit: row.unit }] : [];
    });
}

export function renderRegression({ suite, row, above, allowed, unit }: Regression): string {
  return `${suite}: ${row}: ${above.toFixed(1)} ${unit} above what was recorded; ${String(allowed)} ${unit} are allowed`;
}

/** @param recorded what it replaces: what is allowed stays */
export function record(
  suite: string,
  rows: readonly SummarizedComparison[],
  recorded: readonly RecordedRow[],
): readonly RecordedRow[] {
  return recorded.map((entry) => {
    const summaries = rows.find(({ name }) => name === entry.row)?.summaries;
    if (entry.suite !== suite || summaries?.attache === undefined || summaries.reference === undefined) return entry;
    return { ...entry, ratio: Number((summaries.attache.min / summaries.reference.min).toFixed(3)) };
  });
}
