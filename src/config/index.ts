// SPDX-License-Identifier: Apache-2.0
export type { AgentConfig } from "./agent-config.ts";
export { ConfigError } from "./config-error.ts";
export type { ConfigInput } from "./config-input.ts";
export { parseConfig } from "./parse-config.ts";
export { readConfigInput } from "./read-config-input.ts";
export { proxyFlags } from "./proxy-flags.ts";
export { type EffectiveSetting, effectiveSettings, redactSecrets } from "./effective-settings.ts";
export { loadYamlParser } from "./documents.ts";
export { annotationsPath, labelsPath } from "./sources.ts";
export { recorderConfig } from "./recorder-slice.ts";
