// SPDX-License-Identifier: Apache-2.0
import base from "../../bootstrap/stats.json" with { type: "json" };
import type { JsonObject } from "../lib/json.ts";
import type { BootstrapConfig } from "./bootstrap-config.ts";
import { trimTrailing } from "../lib/trim.ts";

/**
 * Tags extracted from the names of stats: the extra ones stand between Envoy's and Istio's own. No name occurs twice.
 */
export function renderStatsTags(extraTags: readonly string[]): readonly JsonObject[] {
  const own = new Set([...base.tags, ...base.tagsAfterExtra].map((tag) => tag.tag_name));
  const extra = extraTags
    .filter((tag) => !own.has(tag))
    .map((tag) => ({ tag_name: tag, regex: `(${escaped(tag)}=\\.=(.*?);\\.;)` }));
  return [...base.tags, ...extra, ...base.tagsAfterExtra];
}

/** Escapes a name for an expression. Dots are not escaped, as in the reference: they match themselves. */
function escaped(name: string): string {
  return name.replaceAll(/[\\^$|?*+()[\]{}]/g, "\\$&");
}

/** Which stats Envoy keeps. `{pod_ip}` in a pattern stands for each of the pod's addresses. */
export function renderStatsInclusion(config: BootstrapConfig): readonly JsonObject[] {
  const { stats, node } = config;
  const perIp = (patterns: readonly string[]): readonly string[] =>
    patterns.flatMap((pattern) =>
      pattern.includes("{pod_ip}") ? node.ips.map((ip) => pattern.replaceAll("{pod_ip}", ip)) : [pattern],
    );
  const prefixes = perIp([...stats.inclusion.prefixes, ...base.prefixes]);
  const active = stats.countActiveConnections ? base.trafficSuffixes : [];
  const suffixes = perIp([...stats.inclusion.suffixes, ...base.suffixes, ...active]);
  const regexes = perIp([...stats.inclusion.regexes, ...base.regexes]);
  const first = config.metadataDiscovery ? [base.firstPrefix, base.workloadDiscoveryPrefix] : [base.firstPrefix];
  return [
    ...[...first, ...prefixes].map((prefix) => ({ prefix })),
    ...suffixes.map((suffix) => ({ suffix })),
    ...regexes.map((regex) => ({ safe_regex: { regex } })),
    ...base.lastPrefixes.map((prefix) => ({ prefix })),
  ];
}

/** One entry for each metric prefix, sorted; undefined when there is none. */
export function renderHistogramBuckets(
  buckets: Readonly<Record<string, readonly number[]>>,
): readonly JsonObject[] | undefined {
  const entries = Object.entries(buckets).sort(([a], [b]) => (a < b ? -1 : 1));
  return entries.length === 0 ? undefined : entries.map(([prefix, bounds]) => ({ match: { prefix }, buckets: bounds }));
}

/** A duration in protobuf's JSON form: seconds, with decimals where needed. */
export function renderDuration(ms: number | undefined): string | undefined {
  if (ms === undefined) return undefined;
  const seconds = trimTrailing(trimTrailing((ms / 1_000).toFixed(9), "0"), ".");
  return `${seconds}s`;
}
