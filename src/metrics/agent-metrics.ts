// SPDX-License-Identifier: Apache-2.0
import { DurationMeasure, Measure } from "../lib/measures.ts";
import type { MetricFamily } from "./metric-family.ts";
import { type MetricName, metricNames as names } from "./names.ts";

/** The plain counters that rooms count in, a slice for each; they cost nothing until a scrape reads them. */
export interface AgentMetrics {
  readonly start: { readonly durationSeconds: Measure };
  readonly scrape: ScrapeMetrics;
  readonly csr: CsrMetrics;
  readonly sds: SdsMetrics;
  readonly xds: XdsMetrics;
  readonly files: { readonly watcherFailures: Measure; readonly secretFailures: Measure };
  readonly dns: DnsMetrics;
  /** In the order in which they are exposed. */
  readonly families: readonly MetricFamily[];
}

export interface ScrapeMetrics {
  readonly scrapes: Measure;
  /** By type: `envoy`, `application`, `agent`. */
  readonly failures: Measure;
  readonly aborts: Measure;
  readonly duplicateFamilies: Measure;
}

/** All by request type, of which there is one: `csr`. */
export interface CsrMetrics {
  readonly requests: Measure;
  readonly failures: Measure;
  readonly retries: Measure;
  /** A sum, in milliseconds. */
  readonly latencyMs: Measure;
  readonly duration: DurationMeasure;
}

export interface SdsMetrics {
  readonly internalErrors: Measure;
  readonly writeTimeouts: Measure;
  /** By type, which is `sds`. */
  readonly expiredNonces: Measure;
  /** By type, which is `sds`. */
  readonly rejects: Measure;
  readonly sendTime: DurationMeasure;
}

export interface XdsMetrics {
  readonly requests: Measure;
  readonly responses: Measure;
  readonly connectionFailures: Measure;
  /** By type: `cancelled` or `error`. */
  readonly upstreamTerminations: Measure;
  /** By type: `cancelled` or `error`. */
  readonly envoyTerminations: Measure;
  readonly lastRequestBytes: Measure;
  readonly largestRequestBytes: Measure;
}

export interface DnsMetrics {
  readonly requests: Measure;
  readonly upstreamRequests: Measure;
  readonly upstreamFailures: Measure;
  readonly upstreamDuration: DurationMeasure;
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

const csr = [["csr"]] as const;
const sds = [["sds"]] as const;
const endings = [["cancelled"], ["error"]] as const;

/** All families, each series that is certain to come at 0 from the start. */
export function createAgentMetrics(options: AgentMetricsOptions): AgentMetrics {
  const slices = createSlices();
  return { ...slices, families: [...ownFamilies(slices, options), ...peerFamilies(slices), ...laterFamilies(slices)] };
}

type Slices = Omit<AgentMetrics, "families">;

function createSlices(): Slices {
  return {
    start: { durationSeconds: new Measure() },
    scrape: {
      scrapes: new Measure(),
      failures: new Measure(["type"], [["agent"], ["application"], ["envoy"]]),
      aborts: new Measure(),
      duplicateFamilies: new Measure(),
    },
    csr: {
      requests: new Measure(["request_type"], csr),
      failures: new Measure(["request_type"], csr),
      retries: new Measure(["request_type"], csr),
      latencyMs: new Measure(["request_type"], csr),
      duration: new DurationMeasure([0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30]),
    },
    sds: {
      internalErrors: new Measure(),
      writeTimeouts: new Measure(),
      expiredNonces: new Measure(["type"], sds),
      rejects: new Measure(["type"], sds),
      sendTime: new DurationMeasure([0.01, 0.1, 1, 3, 5, 10, 20, 30]),
    },
    xds: {
      requests: new Measure(),
      responses: new Measure(),
      connectionFailures: new Measure(),
      upstreamTerminations: new Measure(["type"], endings),
      envoyTerminations: new Measure(["type"], endings),
      lastRequestBytes: new Measure(),
      largestRequestBytes: new Measure(),
    },
    files: { watcherFailures: new Measure(), secretFailures: new Measure() },
    dns: {
      requests: new Measure(),
      upstreamRequests: new Measure(),
      upstreamFailures: new Measure(),
      upstreamDuration: new DurationMeasure([0.001, 0.005, 0.01, 0.1, 1, 5]),
    },
  };
}

function ownFamilies({ start, scrape }: Slices, options: AgentMetricsOptions): readonly MetricFamily[] {
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

function peerFamilies({ csr: ca, sds: secrets, xds, files }: Slices): readonly MetricFamily[] {
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

function laterFamilies({ dns }: Slices): readonly MetricFamily[] {
  const fetchResults = ["success", "download_failure", "manifest_failure", "checksum_mismatched", "fetch_failure"];
  const conversionResults = ["success", "no_remote_load", "marshal_failure", "unmarshal_failure"];
  const results = [...conversionResults, "fetch_failure", "miss_remote_fetch_hint"];
  const single = (value: string): readonly string[] => [value];
  return [
    counter(names.dnsRequests, dns.requests),
    counter(names.dnsUpstreamRequests, dns.upstreamRequests),
    counter(names.dnsUpstreamFailures, dns.upstreamFailures),
    { ...names.dnsUpstreamDuration, kind: "histogram", measure: dns.upstreamDuration },
    gauge(names.wasmEntries, new Measure()),
    counter(names.wasmLookups, new Measure(["hit"], [["true"], ["false"]])),
    counter(names.wasmFetches, new Measure(["result"], fetchResults.map(single))),
    counter(names.wasmConversions, new Measure(["result"], results.map(single))),
    { ...names.wasmConversionDuration, kind: "histogram", measure: new DurationMeasure([]) },
  ];
}

function counter(name: MetricName, measure: Measure): MetricFamily {
  return { ...name, kind: "counter", measure };
}

function gauge(name: MetricName, measure: Measure): MetricFamily {
  return { ...name, kind: "gauge", measure };
}
