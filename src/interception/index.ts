// SPDX-License-Identifier: Apache-2.0
export { buildRuleSet } from "./build-rule-set.ts";
export { renderInterceptionExplanation } from "./explain/explain.ts";
export { InterceptionError } from "./interception-error.ts";
export { type Applied, applyRules } from "./kernel/apply-rules.ts";
export { providePrograms } from "./kernel/cni-sandbox.ts";
export { lockRules } from "./kernel/run-lock.ts";
export type { InterceptionOptions } from "./options.ts";
export { renderDryRun, renderDryRunFile } from "./render-dry-run.ts";
export type { RuleSet } from "./rules.ts";

/** Loads the part that tests connections: most runs do without. */
export async function loadValidation(): Promise<typeof import("./validation/validate-capture.ts")> {
  return await import("./validation/validate-capture.ts");
}

export type { CaptureSummary } from "./kernel/capture-summary.ts";

/** Loads the part that reads what the kernel's rules do, for a diagnosis. */
export async function loadCaptureSummary(): Promise<typeof import("./kernel/capture-summary.ts")> {
  return await import("./kernel/capture-summary.ts");
}
