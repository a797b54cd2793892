// SPDX-License-Identifier: Apache-2.0

/** One condition of readiness as it stands, with the conditions that it is made of. */
export interface ReadinessCheck {
  readonly name: string;
  /** What is missing when it fails, for a program; docs/operations.md lists them. */
  readonly code?: string;
  /** `not-counted`: it fails now, but the pod is not unready because of it. */
  readonly state: "passed" | "failed" | "not-counted";
  /** What is wrong, or what is there; one line. */
  readonly detail?: string;
  /** Since when it fails, milliseconds since the epoch. */
  readonly sinceMs?: number;
  readonly children?: readonly ReadinessCheck[];
}

/** A step of the start that has ended. */
export interface EndedPhase {
  readonly name: string;
  /** From the agent's first line to the end of the step. */
  readonly atMs: number;
}

/** Everything that is known about being ready: the tree of conditions and the waterfall of the start. */
export interface ReadinessReport {
  readonly ready: boolean;
  readonly checks: readonly ReadinessCheck[];
  readonly phases: readonly PhaseSpan[];
}

/** A step of the start with its own duration; the durations add up to the time since the start. */
export interface PhaseSpan {
  readonly name: string;
  readonly startMs: number;
  readonly durationMs: number;
}

/** The steps one after another, each from the end of the one before it to its own. */
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

/** For a person: `[+]` passed, `[-]` failed, `[~]` fails now but does not count; then the waterfall. */
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

const marks = { passed: "[+]", failed: "[-]", "not-counted": "[~]" } as const;

function renderCheck(check: ReadinessCheck, depth: number, lines: string[]): void {
  const detail = check.detail === undefined ? "" : `: ${check.detail}`;
  const since = check.sinceMs === undefined ? "" : ` (since ${new Date(check.sinceMs).toISOString()})`;
  lines.push(`${"  ".repeat(depth)}${marks[check.state]} ${check.name}${detail}${since}`);
  for (const child of check.children ?? []) renderCheck(child, depth + 1, lines);
}

function checkJson({ sinceMs, children, ...check }: ReadinessCheck): unknown {
  return {
    ...check,
    ...(sinceMs === undefined ? undefined : { since: new Date(sinceMs).toISOString() }),
    ...(children === undefined ? undefined : { checks: children.map(checkJson) }),
  };
}
