// SPDX-License-Identifier: Apache-2.0
export { buildRuleSet } from "./build-rule-set.ts";
export { renderInterceptionExplanation } from "./explain/explain.ts";
export { InterceptionError } from "./interception-error.ts";
export { type Applied, applyRules } from "./kernel/apply-rules.ts";
export { providePrograms } from "./kernel/cni-sandbox.ts";
export type { InterceptionOptions } from "./options.ts";
export { renderDryRun, renderDryRunFile } from "./render-dry-run.ts";
export type { RuleSet } from "./rules.ts";
export { validateCapture } from "./validation/validate-capture.ts";
