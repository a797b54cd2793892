// SPDX-License-Identifier: Apache-2.0
import type { BootstrapStats } from "../../bootstrap/bootstrap-config.ts";
import { parseGoDuration } from "../../lib/go-duration.ts";
import { type JsonValue, isJsonObject, tryParseJson } from "../../lib/json.ts";
import type { Sources } from "../sources/sources.ts";

const prefix = "sidecar.istio.io/";

/** Envoy's interval when none is set. */
const defaultFlushMs = 5_000;

/** Which stats Envoy keeps, their tags, and how often it flushes them. */
export function bootstrapStats(sources: Sources): BootstrapStats {
  const { env, proxy, annotations, fieldSource, findings } = sources;
  const matcher = proxy.proxyStatsMatcher ?? {};
  const inclusion = (name: string, lower: readonly string[] | undefined): readonly string[] => {
    const given = listOf(annotations.get(`${prefix}${name}`));
    return given.length > 0 ? given : (lower ?? []).filter((item) => item !== "");
  };
  const extraTags = [...(proxy.extraStatTags ?? []), ...listOf(annotations.get(`${prefix}extraStatTags`))];
  const regexes = inclusion("statsInclusionRegexps", matcher.inclusionRegexps);
  const regexSource =
    listOf(annotations.get(`${prefix}statsInclusionRegexps`)).length > 0
      ? `annotation ${prefix}statsInclusionRegexps`
      : `${fieldSource("proxyStatsMatcher")}.inclusionRegexps`;
  for (const regex of regexes) {
    const problem = re2Problem(regex);
    if (problem !== undefined) findings.problem(regexSource, `${JSON.stringify(regex)}: ${problem}`);
  }
  const flushIntervalMs = durationOf(sources, "statsFlushInterval");
  return {
    flushIntervalMs,
    evictionIntervalMs: evictionInterval(sources, flushIntervalMs ?? defaultFlushMs),
    extraTags: [...new Set(extraTags.filter((tag) => tag !== ""))],
    inclusion: {
      prefixes: inclusion("statsInclusionPrefixes", matcher.inclusionPrefixes),
      suffixes: inclusion("statsInclusionSuffixes", matcher.inclusionSuffixes),
      regexes,
    },
    histogramBuckets: histogramBuckets(sources),
    compression: proxy.statsCompression ?? true,
    localhostOnly: metricsLocalhostOnly(sources),
    countActiveConnections: env.bool("EXIT_ON_ZERO_ACTIVE_CONNECTIONS"),
  };
}

/** Applies to the agent's metrics and to Envoy's listener. Either the variable or the key of proxyMetadata sets it. */
export function metricsLocalhostOnly({ env, proxy }: Sources): boolean {
  return env.bool("METRICS_LOCALHOST_ACCESS_ONLY") || proxy.proxyMetadata?.["METRICS_LOCALHOST_ACCESS_ONLY"] === "true";
}

function listOf(text: string | undefined): readonly string[] {
  return (text ?? "").split(",").filter((item) => item !== "");
}

function durationOf({ annotations, findings }: Sources, name: string): number | undefined {
  const text = annotations.get(`${prefix}${name}`);
  if (text === undefined || text === "") return undefined;
  const ms = parseGoDuration(text);
  if (ms === undefined)
    findings.warn(`annotation ${prefix}${name}`, `${JSON.stringify(text)} is not a duration; it is ignored`);
  if (ms !== undefined && ms < 1) {
    findings.warn(`annotation ${prefix}${name}`, `${JSON.stringify(text)} is less than a millisecond; it is ignored`);
    return undefined;
  }
  return ms;
}

function evictionInterval(sources: Sources, flushMs: number): number | undefined {
  const ms = durationOf(sources, "statsEvictionInterval");
  if (ms === undefined || ms % flushMs === 0) return ms;
  sources.findings.warn(
    `annotation ${prefix}statsEvictionInterval`,
    "is not a multiple of the flush interval; it is ignored",
  );
  return undefined;
}

function histogramBuckets({ annotations, findings }: Sources): Readonly<Record<string, readonly number[]>> {
  const name = `${prefix}statsHistogramBuckets`;
  const text = annotations.get(name);
  if (text === undefined || text === "") return {};
  const value = tryParseJson(text);
  if (!isJsonObject(value) || !Object.values(value).every(isBuckets)) {
    findings.warn(
      `annotation ${name}`,
      "is not a JSON object of metric prefix to bucket bounds above 0, each once; it is ignored",
    );
    return {};
  }
  const entries = Object.entries(value).map(
    ([key, bounds]) => [key.toWellFormed(), isBuckets(bounds) ? bounds : []] as const,
  );
  return Object.fromEntries(entries.filter(([key]) => key !== ""));
}

function isBuckets(value: JsonValue): value is readonly number[] {
  if (!Array.isArray(value) || value.length === 0 || new Set(value).size < value.length) return false;
  return value.every((bound) => typeof bound === "number" && bound > 0 && Number.isFinite(bound));
}

/** The letters that RE2 allows after a backslash. Source: RE2's syntax page */
const escapes = "aAbBCdDfnpPQErsStvwWxz";

/**
 * Why RE2, Envoy's library for regular expressions, would reject an expression; undefined when no problem is found.
 * Finds the usual mistakes, not all.
 */
export function re2Problem(text: string): string | undefined {
  if (/\(\?(?:[=!]|<[=!])/.test(text)) return "RE2 has no look-ahead and no look-behind";
  const escape = [...text.matchAll(/\\(.?)/gs)].find(([, letter = ""]) => letter === "" || isUnknownEscape(letter));
  if (escape !== undefined) return `RE2 does not know ${escape[0] === "\\" ? "a backslash at the end" : escape[0]}`;
  const count = [...text.matchAll(/\{(\d+)(?:,(\d*))?\}/g)].find(([, least, most]) => Number(most ?? least) > 1_000);
  if (count !== undefined) return `RE2 repeats at most 1000 times, not ${count[0]}`;
  try {
    new RegExp(asJavaScript(text));
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function isUnknownEscape(letter: string): boolean {
  return /[a-zA-Z1-9]/.test(letter) && !escapes.includes(letter);
}

/** Rewrites what RE2 spells differently. */
function asJavaScript(text: string): string {
  return text
    .replaceAll(/\(\?[imsU]+(?:-[imsU]+)?\)/g, "")
    .replaceAll(/\(\?[imsU-]*:/g, "(?:")
    .replaceAll("(?P<", "(?<")
    .replaceAll(/\\Q.*?(?:\\E|$)/gs, "");
}
