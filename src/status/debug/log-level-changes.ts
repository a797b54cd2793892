// SPDX-License-Identifier: Apache-2.0
import { parseGoDuration } from "../../lib/go-duration.ts";
import { suggestion } from "../../lib/nearest-name.ts";
import { istioScopeNames, logScopes } from "../../model/log-scopes.ts";
import type { EnvoyLogChange } from "./envoy-log-levels.ts";

/** The changes of one request, checked as far as that is possible without Envoy. */
export interface LogLevelChanges {
  /** By the agent's scope; undefined restores the configured level. */
  readonly scopes: ReadonlyMap<string, string | undefined>;
  readonly envoy: readonly EnvoyLogChange[];
  /** Undefined: until a restart. */
  readonly durationMs: number | undefined;
}

/** Each word for a level, in the agent's terms and in Envoy's. */
const levels: ReadonlyMap<string, { readonly agent: string; readonly envoy: string }> = new Map([
  ["trace", { agent: "debug", envoy: "trace" }],
  ["debug", { agent: "debug", envoy: "debug" }],
  ["info", { agent: "info", envoy: "info" }],
  ["warn", { agent: "warn", envoy: "warning" }],
  ["warning", { agent: "warn", envoy: "warning" }],
  ["error", { agent: "error", envoy: "error" }],
  ["critical", { agent: "error", envoy: "critical" }],
  ["none", { agent: "none", envoy: "off" }],
  ["off", { agent: "none", envoy: "off" }],
]);
/** Restores the level from before the change. */
const reset = "reset";
const shownLevels = "debug, info, warn, error, none, and for Envoy trace and critical; reset restores the level";
/** Sets all scopes of the agent. */
const allScopes = "all";
/** All loggers of Envoy, and the agent's scope of that name; with a colon and a name one logger. */
const envoyScope = "envoy";
const defaultDurationMs = 10 * 60_000;
const maxDurationMs = 24 * 3_600_000;

/** @returns the text of the problem when the query cannot be understood */
export function parseLogLevelChanges(query: string): LogLevelChanges | string {
  const pairs = [...new URLSearchParams(query)];
  const durationMs = readDuration(pairs.find(([name]) => name === "for")?.[1]);
  if (durationMs === undefined) return "for must be a duration such as 5m, up to 24h; 0 is until a restart";
  const scopes = new Map<string, string | undefined>();
  const envoy: EnvoyLogChange[] = [];
  for (const [name, word] of pairs.filter(([key]) => key !== "for")) {
    const level = levels.get(word);
    if (level === undefined && word !== reset) return unknownLevel(name, word);
    if (name === envoyScope) envoy.push({ logger: undefined, level: level?.envoy });
    const logger = name.startsWith(`${envoyScope}:`) ? name.slice(envoyScope.length + 1) : undefined;
    if (logger !== undefined) envoy.push({ logger, level: level?.envoy });
    else {
      const found = scopesOf(name);
      if (found.length === 0) return unknownScope(name);
      for (const scope of found) scopes.set(scope, level?.agent);
    }
  }
  return { scopes, envoy, durationMs: durationMs === 0 ? undefined : durationMs };
}

/** The scopes that a name in a request means: one, all, or none if it is unknown. */
function scopesOf(name: string): readonly string[] {
  if (name === allScopes) return logScopes;
  const scope = name === "level" ? "default" : (istioScopeNames.get(name) ?? name);
  return logScopes.includes(scope) ? [scope] : [];
}

function unknownLevel(name: string, word: string): string {
  const hint = suggestion(word, [...levels.keys(), reset]);
  return `${shorten(name)}: ${JSON.stringify(shorten(word))} is not a level${hint}; the levels are ${shownLevels}`;
}

function unknownScope(name: string): string {
  const known = [allScopes, ...logScopes];
  const hint = suggestion(shorten(name), [...known, ...istioScopeNames.keys()]);
  return `unknown scope ${JSON.stringify(shorten(name))}${hint}; the scopes are ${known.join(", ")}, and envoy:LOGGER`;
}

function shorten(text: string): string {
  return text.slice(0, 100);
}

/** @returns undefined for no duration; 0 for no end */
function readDuration(text: string | undefined): number | undefined {
  if (text === undefined) return defaultDurationMs;
  const ms = parseGoDuration(text);
  return ms !== undefined && ms >= 0 && ms <= maxDurationMs ? ms : undefined;
}
