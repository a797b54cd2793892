// SPDX-License-Identifier: Apache-2.0
export type { AgentConfig } from "./agent-config.ts";
export { ConfigError, type ConfigProblem } from "./config-error.ts";
export type { ConfigInput } from "./sources/config-input.ts";
export { type JudgedConfig, judgeConfig, parseConfig } from "./parse-config.ts";
export { loadMeshFileCheck, readConfigInput } from "./sources/read-config-input.ts";
export { defaultBinaryPath } from "./proxy-config/proxy-config.ts";
export { proxyFlags } from "./sources/flags.ts";
export { type EffectiveSetting, effectiveSettings } from "./effective-settings.ts";
export { redactSecrets } from "./redaction.ts";
export { loadYamlParser } from "./sources/documents.ts";
export { annotationsPath, labelsPath, rootPath, tokenPath } from "./sources/sources.ts";
export { recorderConfig } from "./sections/log-section.ts";

/** Loads the names of all variables, for a diagnosis. */
export async function loadKnownVariables(): Promise<typeof import("./known-variables.ts")> {
  return await import("./known-variables.ts");
}
