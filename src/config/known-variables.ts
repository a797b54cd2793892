// SPDX-License-Identifier: Apache-2.0
import { interceptionSettings, interceptionVariables } from "./interception/settings.ts";
import { metaPrefix, typedKeys } from "./sections/node-metadata.ts";
import { variables } from "./sources/variables.ts";

export { misspeltVariable } from "./sources/unknown-variables.ts";

/** The names of all variables that the agent or `istio-iptables` reads, without the groups with a common prefix. */
export function knownVariables(): ReadonlySet<string> {
  return new Set([
    ...Object.keys(variables),
    ...[...typedKeys.keys()].map((key) => `${metaPrefix}${key}`),
    ...Object.values(interceptionSettings).flatMap((setting) => setting.variables),
    ...Object.keys(interceptionVariables),
  ]);
}
