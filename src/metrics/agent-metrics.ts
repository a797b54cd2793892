// SPDX-License-Identifier: Apache-2.0
import { Measure } from "../lib/measures.ts";
import type { MetricFamily } from "./metric-family.ts";
import { createMetricSlices, type MetricSlices } from "./metric-slices.ts";
import { type MetricName, metricNames as names } from "./names.ts";
import { processFamilies } from "./process-families.ts";

/** What modules count in, and how it is exposed. */
export interface AgentMetrics extends MetricSlices {
  /** In the order in which they are exposed: the agent's own, then those that pilot-agent has. */
  readonly families: readonly MetricFamily[];
}

/** A certificate whose time left is a gauge. */
export interface ExpiringCertificate {
  readonly resourceName: string;
  readonly notAfterMs: number;
}

export interface AgentMetricsOptions {
  readonly version: string;
  /** Wall clock, in milliseconds. */
  readonly now: () => number;
  /** The certificates that are held now; asked at each scrape. */
  readonly certificates: () => readonly ExpiringCertificate[];
  /** Whether the last look at readiness passed; undefined leaves the gauge out. */
  readonly ready?: () => boolean;
  /** How often Envoy was started again so far; undefined leaves the counters at 0. */
  readonly envoyStarts?: () => EnvoyStarts;
}

export interface EnvoyStarts {
  readonly restarts: number;
  /** Hot restarts that took over, and those that did not. */
  readonly swaps: number;
  readonly refusedSwaps: number;
}

/** All families, each series that is certain to come at 0 from the start. */
export function createAgentMetrics(options: AgentMetricsOptions): AgentMetrics {
  const slices = createMetricSlices();
  const peers = [...peerFamilies(slices), ...laterPeerFamilies(slices), ...processFamilies()];
  const families = [...ownFamilies(slices, options), ...peers];
  return { ...slices, families };
}

function ownFamilies({ start, scrape }: MetricSlices, options: AgentMetricsOptions): readonly MetricFamily[] {
  const build = new Measure(["version"]);
  build.set(1, options.version);
  const expiry = {
    labelNames: ["resource_name"],
    samples: () =>
      options.certificates().map(({ resourceName, notAfterMs }) => {
        return { labels: [resourceName], value: (notAfterMs - options.now()) / 1_000 };
      }),
  };
  return [
    gauge(names.buildInfo, build),
    gauge(names.startupDuration, start.durationSeconds),
    ...(options.ready === undefined ? [] : [readyFamily(options.ready)]),
    counter(names.scrapes, scrape.scrapes),
    counter(names.scrapeFailures, scrape.failures),
    counter(names.scrapeAborts, scrape.aborts),
    counter(names.duplicateFamilies, scrape.duplicateFamilies),
    { ...names.certificateExpiry, kind: "gauge", measure: expiry },
    ...envoyFamilies(options.envoyStarts ?? (() => ({ restarts: 0, swaps: 0, refusedSwaps: 0 }))),
  ];
}

function readyFamily(read: () => boolean): MetricFamily {
  const measure = { labelNames: [], samples: () => [{ labels: [], value: read() ? 1 : 0 }] };
  return { ...names.ready, kind: "gauge", measure };
}

function envoyFamilies(read: () => EnvoyStarts): readonly MetricFamily[] {
  const restarts = { labelNames: [], samples: () => [{ labels: [], value: read().restarts }] };
  const hotRestarts = {
    labelNames: ["outcome"],
    samples: () => {
      const { swaps, refusedSwaps } = read();
      return [
        { labels: ["refused"], value: refusedSwaps },
        { labels: ["swapped"], value: swaps },
      ];
    },
  };
  return [
    { ...names.envoyRestarts, kind: "counter", measure: restarts },
    { ...names.envoyHotRestarts, kind: "counter", measure: hotRestarts },
  ];
}

function peerFamilies({ csr: ca, sds: secrets, xds, files }: MetricSlices): readonly MetricFamily[] {
  return [
    counter(names.csrRequests, ca.requests),
    counter(names.csrFailures, ca.failures),
    counter(names.csrRetries, ca.retries),
    counter(names.csrLatencySum, ca.latencyMs),
    { ...names.csrDuration, kind: "histogram", measure: ca.duration },
    counter(names.fileWatcherFailures, files.watcherFailures),
    counter(names.fileSecretFailures, files.secretFailures),
    counter(names.sdsInternalErrors, secrets.internalErrors),
    counter(names.sdsWriteTimeouts, secrets.writeTimeouts),
    counter(names.sdsExpiredNonces, secrets.expiredNonces),
    counter(names.sdsRejects, secrets.rejects),
    { ...names.sdsSendTime, kind: "histogram", measure: secrets.sendTime },
    counter(names.xdsRequests, xds.requests),
    counter(names.xdsResponses, xds.responses),
    counter(names.istiodConnectionFailures, xds.connectionFailures),
    counter(names.istiodTerminations, xds.upstreamTerminations),
    counter(names.envoyTerminations, xds.envoyTerminations),
    gauge(names.xdsReceivedLast, xds.lastRequestBytes),
    gauge(names.xdsReceivedLargest, xds.largestRequestBytes),
  ];
}

function laterPeerFamilies({ dns, xds }: MetricSlices): readonly MetricFamily[] {
  return [
    counter(names.dnsRequests, dns.requests),
    counter(names.dnsUpstreamRequests, dns.upstreamRequests),
    counter(names.dnsUpstreamFailures, dns.upstreamFailures),
    { ...names.dnsUpstreamDuration, kind: "histogram", measure: dns.upstreamDuration },
    gauge(names.wasmEntries, xds.wasmCacheEntries),
    counter(names.wasmLookups, xds.wasmCacheLookups),
    counter(names.wasmFetches, xds.wasmFetches),
    counter(names.wasmConversions, xds.wasmConversions),
    { ...names.wasmConversionDuration, kind: "histogram", measure: xds.wasmConversionDuration },
  ];
}

function counter(name: MetricName, measure: Measure): MetricFamily {
  return { ...name, kind: "counter", measure };
}

function gauge(name: MetricName, measure: Measure): MetricFamily {
  return { ...name, kind: "gauge", measure };
}
