// SPDX-License-Identifier: Apache-2.0
import type { JsonObject } from "../../lib/json.ts";
import type { Paint } from "../../lib/paint.ts";
import { escapeControls } from "../../lib/printable-text.ts";
import type { Finding, Outcome } from "./check.ts";
import type { Diagnosis } from "./run-doctor.ts";

const order: readonly Outcome[] = ["fail", "warn", "ok"];

/** Failures first, then warnings, then the rest; each kind in the order of the checks. */
export function renderDiagnosis({ findings, counts }: Diagnosis, paint: Paint): string {
  const width = Math.max(0, ...findings.map(({ check }) => check.length));
  const sorted = order.flatMap((outcome) => findings.filter((finding) => finding.outcome === outcome));
  const lines = sorted.flatMap((finding) => renderFinding(finding, width, paint));
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

function renderFinding({ check, outcome, fact, cure }: Finding, width: number, paint: Paint): readonly string[] {
  const mark = paint(styles[outcome], `[${outcome}]`.padEnd(6));
  const first = `${mark} ${check.padEnd(width)}  ${escapeControls(fact)}`;
  return cure === undefined ? [first] : [first, `${" ".repeat(9 + width)}-> ${escapeControls(cure)}`];
}
