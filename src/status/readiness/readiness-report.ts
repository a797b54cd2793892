// SPDX-License-Identifier: Apache-2.0
import { describeError } from "../../lib/errors.ts";
import { escapeControls } from "../../lib/printable-text.ts";
import type { PendingHold } from "../../model/readiness.ts";

/** One condition of readiness, with the conditions that it consists of. */
export interface ReadinessCheck {
  readonly name: string;
  /** The kind of failure, for programs; docs/operations.md lists them. */
  readonly code?: string;
  /** `not-counted`: it fails, but does not keep the pod unready. */
  readonly state: "passed" | "failed" | "not-counted";
  /** The failure, or the present value; one line. */
  readonly detail?: string;
  /** Start of the failure, milliseconds since the epoch. */
  readonly sinceMs?: number;
  readonly children?: readonly ReadinessCheck[];
}

/** A completed step of the start. */
export interface EndedPhase {
  readonly name: string;
  /** From the start of the agent to the end of the step. */
  readonly atMs: number;
}

/** The tree of conditions and the waterfall of the start. */
export interface ReadinessReport {
  readonly ready: boolean;
  readonly checks: readonly ReadinessCheck[];
  readonly phases: readonly PhaseSpan[];
}

/** A step of the start with its own duration. The durations add up to the time since the start. */
export interface PhaseSpan {
  readonly name: string;
  readonly startMs: number;
  readonly durationMs: number;
}

/** The steps in order, each from the end of the previous step to its own end. */
export function waterfall(phases: readonly EndedPhase[]): readonly PhaseSpan[] {
  let startMs = 0;
  return phases
    .toSorted((a, b) => a.atMs - b.atMs)
    .map(({ name, atMs }) => {
      const span = { name, startMs, durationMs: Math.round((atMs - startMs) * 10) / 10 };
      startMs = atMs;
      return span;
    });
}

/** For a person: `[+]` passes, `[-]` fails, `[~]` fails but does not count; then the waterfall. */
export function renderReport(report: ReadinessReport): string {
  const lines = [`ready: ${report.ready ? "yes" : "no"}`];
  for (const check of report.checks) renderCheck(check, 0, lines);
  if (report.phases.length > 0) lines.push("", "start:");
  const widest = Math.max(0, ...report.phases.map(({ name }) => name.length));
  for (const { name, startMs, durationMs } of report.phases) {
    lines.push(`  ${name.padEnd(widest)}  ${startMs.toFixed(1).padStart(9)} ms  +${durationMs.toFixed(1)} ms`);
  }
  return `${lines.join("\n")}\n`;
}

/** For a program; times as ISO 8601. */
export function reportJson(report: ReadinessReport): unknown {
  return { ready: report.ready, checks: report.checks.map(checkJson), phases: report.phases };
}

/** What is known when the agent shuts down before it was ready. */
export interface FatalEnd {
  readonly cause: unknown;
  readonly pending: readonly PendingHold[];
  /** Envoy's last conditions, unless it could serve. */
  readonly envoy?: ReadinessCheck | undefined;
  readonly phases: readonly EndedPhase[];
}

/** Kubernetes shows this much of a container's termination message. */
const maxTerminationBytes = 4_096;

/** The report of an agent that never became ready, its fatal error first; cut to what Kubernetes shows. */
export function renderTermination({ cause, pending, envoy, phases }: FatalEnd): string {
  const code = cause instanceof Error && "code" in cause ? String(cause.code) : "fatal";
  const fatal: ReadinessCheck = { name: code, state: "failed", detail: describeError(cause) };
  const holds = pending.map(({ name, detail, sinceMs, isNote }): ReadinessCheck => {
    return { name, state: isNote ? "not-counted" : "failed", detail: detail ?? "pending", sinceMs };
  });
  const text = renderReport({
    ready: false,
    checks: [fatal, ...(envoy === undefined ? [] : [envoy]), ...holds],
    phases: waterfall(phases),
  });
  return Buffer.from(text)
    .subarray(0, maxTerminationBytes)
    .toString()
    .replace(/\uFFFD$/, "");
}

const marks = { passed: "[+]", failed: "[-]", "not-counted": "[~]" } as const;

function renderCheck(check: ReadinessCheck, depth: number, lines: string[]): void {
  const detail = check.detail === undefined ? "" : `: ${check.detail}`;
  const since = check.sinceMs === undefined ? "" : ` (since ${new Date(check.sinceMs).toISOString()})`;
  lines.push(`${"  ".repeat(depth)}${marks[check.state]} ${escapeControls(`${check.name}${detail}${since}`)}`);
  for (const child of check.children ?? []) renderCheck(child, depth + 1, lines);
}

function checkJson({ sinceMs, children, ...check }: ReadinessCheck): unknown {
  return {
    ...check,
    ...(sinceMs === undefined ? undefined : { since: new Date(sinceMs).toISOString() }),
    ...(children === undefined ? undefined : { checks: children.map(checkJson) }),
  };
}
