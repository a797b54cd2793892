// SPDX-License-Identifier: Apache-2.0
import { DurationMeasure, Measure } from "../lib/measures.ts";

/** The plain counters that modules count in, a slice for each; they cost nothing until a scrape reads them. */
export interface MetricSlices {
  readonly start: { readonly durationSeconds: Measure };
  readonly scrape: ScrapeMetrics;
  readonly csr: CsrMetrics;
  readonly sds: SdsMetrics;
  readonly xds: XdsMetrics;
  readonly files: { readonly watcherFailures: Measure; readonly secretFailures: Measure };
  readonly dns: DnsMetrics;
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
  /** By short type name. */
  readonly rejections: Measure;
  /** By short type name. */
  readonly rejected: Measure;
  readonly cacheStalenessSeconds: Measure;
  /** By result. */
  readonly wasmConversions: Measure;
  /** In milliseconds, as the reference counts it. */
  readonly wasmConversionDuration: DurationMeasure;
  /** By result. */
  readonly wasmFetches: Measure;
  readonly wasmCacheEntries: Measure;
  /** By hit. */
  readonly wasmCacheLookups: Measure;
}

export interface DnsMetrics {
  readonly requests: Measure;
  readonly upstreamRequests: Measure;
  readonly upstreamFailures: Measure;
  readonly upstreamDuration: DurationMeasure;
}

const csr = [["csr"]] as const;
const sds = [["sds"]] as const;
const endings = [["cancelled"], ["error"]] as const;
const fetchResults = [
  ["success"],
  ["download_failure"],
  ["manifest_failure"],
  ["checksum_mismatched"],
  ["fetch_failure"],
] as const;
const conversionResults = [
  ["success"],
  ["no_remote_load"],
  ["marshal_failure"],
  ["unmarshal_failure"],
  ["fetch_failure"],
  ["miss_remote_fetch_hint"],
] as const;
/** 1, 2, 4 ... 16384. */
const conversionBoundsMs = Array.from({ length: 15 }, (_, power) => 2 ** power);

/** Each series that is certain to come is there at 0 from the start. */
export function createMetricSlices(): MetricSlices {
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
      rejections: new Measure(["type"]),
      rejected: new Measure(["type"]),
      cacheStalenessSeconds: new Measure(),
      wasmConversions: new Measure(["result"], conversionResults),
      wasmConversionDuration: new DurationMeasure(conversionBoundsMs, "ms"),
      wasmFetches: new Measure(["result"], fetchResults),
      wasmCacheEntries: new Measure(),
      wasmCacheLookups: new Measure(["hit"], [["true"], ["false"]]),
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
