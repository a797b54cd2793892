// SPDX-License-Identifier: Apache-2.0
import { type Bound, isOver, type Ratio, type SummarizedComparison, type Summary, summarize } from "./comparison.ts";
import type { Figure, Row } from "./figure.ts";
import { busyShare } from "./machine-load.ts";

/** What one suite gave, as it stands in the JSON. */
export interface SuiteReport {
  readonly suite: string;
  readonly seconds: number;
  /** Processor time that other work had meanwhile, as a share of one processor. */
  readonly otherWork: number;
  readonly rows: readonly (Figure | SummarizedComparison)[];
}

export function reportOf(suite: string, seconds: number, otherWork: number, rows: readonly Row[]): SuiteReport {
  return { suite, seconds, otherWork, rows: rows.map((row) => ("samples" in row ? summarize(row) : row)) };
}

export function isBusy({ otherWork }: SuiteReport): boolean {
  return otherWork > busyShare;
}

/** The names of the rows that are over their limits. */
export function overLimits({ rows }: SuiteReport): readonly string[] {
  return rows.filter((row) => ("samples" in row ? isOver(row) : isFigureOver(row))).map(({ name }) => name);
}

function isFigureOver({ value, limit }: Figure): boolean {
  return limit !== undefined && !(value <= limit);
}

export function renderReport(report: SuiteReport): string {
  const { suite, seconds, rows } = report;
  const figures = rows.filter((row) => "value" in row);
  const comparisons = rows.filter((row) => "samples" in row);
  const busy = isBusy(report)
    ? `  The machine was busy: other work had ${percent(report.otherWork)} of a processor. These figures are no verdict.\n`
    : "";
  return [
    `${suite} (${seconds.toFixed(0)} s)\n`,
    renderTable(figures.map(cellsOfFigure), [1]),
    comparisons.length === 0 ? "" : renderTable([header(comparisons), ...comparisons.map(cellsOfComparison)], []),
    busy,
  ].join("");
}

function cellsOfFigure({ name, value, unit, limit }: Figure): readonly string[] {
  const verdict = limit === undefined ? "" : `${value <= limit ? "within" : "OVER"} ${String(limit)} ${unit}`;
  return [name, numberText(value), unit, verdict];
}

function header(rows: readonly SummarizedComparison[]): readonly string[] {
  const hasPeer = rows.some(({ summaries }) => summaries.peer !== undefined);
  const columns = ["min / median / max", "", "attache", "reference", "ratio", ""];
  return hasPeer ? [...columns, "peer", "ratio", ""] : columns;
}

function cellsOfComparison({ name, unit, summaries, ratios }: SummarizedComparison): readonly string[] {
  const cells = [
    name,
    unit,
    summaryText(summaries.attache),
    summaryText(summaries.reference),
    ...ratioCells(ratios.reference),
  ];
  return summaries.peer === undefined ? cells : [...cells, summaryText(summaries.peer), ...ratioCells(ratios.peer)];
}

function summaryText(summary: Summary | undefined): string {
  return summary === undefined ? "" : [summary.min, summary.median, summary.max].map(numberText).join(" / ");
}

function ratioCells(ratio: Ratio | undefined): readonly [string, string] {
  if (ratio === undefined) return ["", ""];
  const { bound, within } = ratio;
  return [
    `${ratio.median.toFixed(2)}x`,
    bound === undefined ? "" : `${within === true ? "within" : "OVER"} ${boundText(bound)}`,
  ];
}

function boundText(bound: Bound): string {
  return "atMost" in bound ? `<= ${String(bound.atMost)}` : `>= ${String(bound.atLeast)}`;
}

/** Three digits that say something. */
function numberText(value: number): string {
  return value.toFixed(Math.abs(value) < 10 ? 2 : 1);
}

export function percent(share: number): string {
  return `${(share * 100).toFixed(0)} %`;
}

function renderTable(rows: readonly (readonly string[])[], alignedRight: readonly number[]): string {
  const columns = Math.max(0, ...rows.map((row) => row.length));
  const widths = Array.from({ length: columns }, (_, column) =>
    Math.max(...rows.map((row) => row[column]?.length ?? 0)),
  );
  return rows
    .map((row) => {
      const cells = row.map((cell, column) => {
        const width = widths[column] ?? 0;
        return alignedRight.includes(column) ? cell.padStart(width) : cell.padEnd(width);
      });
      return `  ${cells.join("  ").trimEnd()}\n`;
    })
    .join("");
}
