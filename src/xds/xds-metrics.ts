// SPDX-License-Identifier: Apache-2.0
import type { Counter, Gauge, Histogram } from "../lib/metrics.ts";

/** Counters and gauges of the xDS proxy. The metrics module creates them. */
export interface XdsMetrics {
  /** Requests sent to the control plane, Envoy's and the agent's own. */
  readonly requests: Counter;
  readonly responses: Counter;
  /** Connections to the control plane that failed. */
  readonly connectionFailures: Counter;
  /** Streams to the control plane that ended. By type: `cancelled` or `error`. */
  readonly upstreamTerminations: Counter;
  /** Envoy's streams that ended. By type: `cancelled` or `error`. */
  readonly envoyTerminations: Counter;
  readonly lastRequestBytes: Gauge;
  readonly largestRequestBytes: Gauge;
  /** Responses that Envoy or the agent rejected. By short type name. */
  readonly rejections: Counter;
  /** 1 while Envoy rejects the last response of the type, else 0. By short type name. */
  readonly rejected: Gauge;
  /** Seconds since the control plane last responded, while the cache serves Envoy; else 0. */
  readonly cacheStalenessSeconds: Gauge;
  /** By result: `success`, `no_remote_load`, `unmarshal_failure`, `fetch_failure`, `miss_remote_fetch_hint`. */
  readonly wasmConversions: Counter;
  /** Of all extensions of a response together, in milliseconds as in pilot-agent. */
  readonly wasmConversionMs: Histogram;
  /** By result: `success`, `download_failure`, `manifest_failure`, `checksum_mismatched`, `fetch_failure`. */
  readonly wasmFetches: Counter;
  /** Modules on disk. */
  readonly wasmCacheEntries: Gauge;
  /** By hit: `true`, `false`. */
  readonly wasmCacheLookups: Counter;
}
