// SPDX-License-Identifier: Apache-2.0
import { type Finding, fail, ok, warn } from "../check.ts";

/** What one step on the way to a peer found; the check that reports it adds its name. */
export interface Step {
  /** The last part of the finding's name: `resolve`, `connect`, `tls`. */
  readonly part: "resolve" | "connect" | "tls" | "auth";
  readonly outcome: Finding["outcome"];
  readonly fact: string;
  readonly cure: string;
}

export function passed(part: Step["part"], fact: string): Step {
  return { part, outcome: "ok", fact, cure: "" };
}

export function failed(part: Step["part"], fact: string, cure: string): Step {
  return { part, outcome: "fail", fact, cure };
}

/** A step that cannot be judged because of another fault, which is reported by its own check. */
export function blocked(part: Step["part"], fact: string, by: string): Step {
  return { part, outcome: "warn", fact, cure: `Repair what ${by} reports first.` };
}

/** The step as a finding of a check. @param isFallback whether another peer does instead: nothing fails then */
export function findingOf(check: string, { part, outcome, fact, cure }: Step, isFallback = false): Finding {
  const name = `${check}.${part}`;
  if (outcome === "ok") return ok(name, fact);
  return outcome === "warn" || isFallback ? warn(name, fact, cure) : fail(name, fact, cure);
}

export function milliseconds(ms: number): string {
  return `${String(Math.max(1, Math.round(ms)))} ms`;
}
