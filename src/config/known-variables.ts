// SPDX-License-Identifier: Apache-2.0
import { interceptionSettings, interceptionVariables } from "./interception/settings.ts";
import { metaPrefix, typedKeys } from "./sections/node-metadata.ts";
import type { VariableSpec, VariableType } from "./sources/variable-spec.ts";
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

const forms = {
  string: "text",
  bool: "true or false",
  int: "a whole number",
  float: "a number",
  duration: "a duration such as 300ms or 1h30m",
} as const satisfies Readonly<Record<VariableType, string>>;

/** What a variable may be set to, and its meaning, for a person; undefined of one that is not documented. */
export function describeVariable(name: string): string | undefined {
  const spec = Object.entries<VariableSpec>(variables).find(([known]) => known === name)?.[1];
  if (spec === undefined) return undefined;
  const unit = spec.unit === "" ? "" : ` (${spec.unit})`;
  const fallback = spec.default === "" ? "" : `, by default ${spec.default}`;
  return `${forms[spec.type]}${unit}${fallback}: ${spec.meaning}`;
}
