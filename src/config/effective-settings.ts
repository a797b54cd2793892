// SPDX-License-Identifier: Apache-2.0
import { parseFlags } from "../lib/flags.ts";
import type { JsonValue } from "../lib/json.ts";
import { Findings } from "./config-error.ts";
import type { ConfigInput } from "./sources/config-input.ts";
import { parseDownwardApi } from "./sources/downward-api.ts";
import { effectiveProxyConfig } from "./proxy-config/effective-proxy-config.ts";
import { Environment } from "./sources/environment.ts";
import { renderProxyConfig } from "./proxy-config/proxy-config.ts";
import { parseProxyFlags, proxyFlags } from "./sources/flags.ts";
import { isSecretName, redacted, redactSecrets, redactText } from "./redaction.ts";
import { places } from "./sources/sources.ts";
import { variablePrefixes, variables } from "./sources/variables.ts";

/** An effective setting. */
export interface EffectiveSetting {
  readonly kind: "flag" | "variable" | "proxyConfig";
  readonly name: string;
  /** Secrets are shown as `[redacted]`. */
  readonly value: JsonValue;
  /** `default`, or where the value was given. */
  readonly source: string;
}

/**
 * Every setting with its value and its source: flags, variables, groups of variables that are set, and the fields of
 * ProxyConfig. Problems are not reported here.
 */
export function effectiveSettings(input: ConfigInput): readonly EffectiveSetting[] {
  return [...flagSettings(input), ...variableSettings(input), ...proxyConfigSettings(input)];
}

function flagSettings({ args }: ConfigInput): readonly EffectiveSetting[] {
  const given = parseProxyFlags(args);
  const defaults: Readonly<Record<string, JsonValue>> = parseFlags([], proxyFlags).values;
  const values: Readonly<Record<string, JsonValue>> = given.values;
  return Object.keys(proxyFlags).map((name) => ({
    kind: "flag",
    name: `--${name}`,
    value: values[name] ?? defaults[name] ?? "",
    source: given.given.has(name) ? "command line" : "default",
  }));
}

function variableSettings({ env }: ConfigInput): readonly EffectiveSetting[] {
  const known = Object.entries(variables).map(([name, spec]): EffectiveSetting => {
    const value = env[name];
    return {
      kind: "variable",
      name,
      value: shown(name, value ?? spec.default),
      source: value === undefined ? "default" : "environment",
    };
  });
  const grouped = Object.entries(env)
    .filter(
      ([name]) => !Object.hasOwn(variables, name) && variablePrefixes.some(({ prefix }) => name.startsWith(prefix)),
    )
    .map(
      ([name, value]): EffectiveSetting => ({
        kind: "variable",
        name,
        value: shown(name, value),
        source: "environment",
      }),
    );
  return [...known, ...grouped];
}

/** PROXY_CONFIG is listed field by field instead, so that its secrets can be redacted. */
function shown(name: string, value: string): string {
  if (value === "") return value;
  if (name === "PROXY_CONFIG") return "(its fields are listed under ProxyConfig)";
  return isSecretName(name) ? redacted : redactText(value);
}

function proxyConfigSettings(input: ConfigInput): readonly EffectiveSetting[] {
  const findings = new Findings();
  const file = input.readFile(places.annotations);
  const annotations =
    file.kind === "text" ? parseDownwardApi(file.text, places.annotations, findings) : new Map<string, string>();
  const { values: flags } = parseProxyFlags(input.args);
  const env = new Environment(input.env, findings);
  const { fields, origins } = effectiveProxyConfig({ input, env, flags, annotations, findings });
  return Object.entries(renderProxyConfig(fields)).map(([name, value]) => ({
    kind: "proxyConfig",
    name,
    value: redactSecrets(value),
    source: origins.get(name) ?? "default",
  }));
}
