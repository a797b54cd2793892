// SPDX-License-Identifier: Apache-2.0
import type { JsonObject } from "../../lib/json.ts";
import type { Paint } from "../../lib/paint.ts";
import { escapeControls } from "../../lib/printable-text.ts";
import { hangingLines } from "../../lib/text-wrap.ts";
import type { Finding, Outcome } from "./check.ts";
import type { Diagnosis } from "./run-doctor.ts";

const order: readonly Outcome[] = ["fail", "warn", "ok"];

/** What a text is printed to. */
interface DoctorView {
  readonly paint: Paint;
  /** Undefined where nothing is wrapped: a file, or a program that reads lines. */
  readonly columns: number | undefined;
}

/** Failures first, then warnings, then the rest; each kind in the order of the checks. */
export function renderDiagnosis({ findings, counts }: Diagnosis, view: DoctorView): string {
  const width = Math.max(0, ...findings.map(({ check }) => check.length));
  const sorted = order.flatMap((outcome) => findings.filter((finding) => finding.outcome === outcome));
  const lines = sorted.flatMap((finding) => renderFinding(finding, width, view));
  const { failed, warnings, ok } = counts;
  const sum = `${String(failed)} failed, ${String(warnings)} ${warnings === 1 ? "warning" : "warnings"}, ${String(ok)} ok`;
  return `${[...lines, "", sum].join("\n")}\n`;
}

/** For a program. */
export function diagnosisJson({ findings, counts, durationMs }: Diagnosis): JsonObject {
  return {
    ok: counts.failed === 0,
    counts,
    durationSeconds: Math.round(durationMs) / 1_000,
    findings: findings.map(({ check, outcome, fact, cure }) => ({
      check,
      outcome,
      fact,
      ...(cure === undefined ? {} : { cure }),
    })),
  };
}

const styles = { ok: "good", warn: "warning", fail: "bad" } as const;

/** On a narrow terminal texts are below the name of the check, so that they have a line's width. */
const narrowColumns = 80;
const markWidth = 7;

function renderFinding(finding: Finding, width: number, { paint, columns }: DoctorView): readonly string[] {
  const { check, outcome, fact, cure } = finding;
  const mark = `[${outcome}]`.padEnd(6);
  const painted = paint(styles[outcome], mark);
  const isNarrow = columns !== undefined && columns < narrowColumns;
  const indent = " ".repeat(markWidth + (isNarrow ? 0 : width + 2));
  const hanging = (label: string, text: string): string =>
    columns === undefined ? `${label}${escapeControls(text)}` : hangingLines(label, escapeControls(text), columns);
  const cures = cure === undefined ? [] : [hanging(`${indent}-> `, cure)];
  if (isNarrow) return [`${painted} ${check}`, hanging(indent, fact), ...cures];
  const first = hanging(`${mark} ${check.padEnd(width)}  `, fact);
  return [painted + first.slice(mark.length), ...cures];
}
