// SPDX-License-Identifier: Apache-2.0
import type { DurationMeasure, Measure } from "../lib/measures.ts";

/** Where the proxy counts. Names and series at 0 are the metrics module's affair. */
export interface XdsMetrics {
  /** Sent to the control plane, Envoy's and the agent's own. */
  readonly requests: Measure;
  readonly responses: Measure;
  /** Connections to the control plane that could not be made. */
  readonly connectionFailures: Measure;
  /** Streams to the control plane that ended. By type: `cancelled` or `error`. */
  readonly upstreamTerminations: Measure;
  /** Envoy's streams that ended. By type: `cancelled` or `error`. */
  readonly envoyTerminations: Measure;
  readonly lastRequestBytes: Measure;
  readonly largestRequestBytes: Measure;
  /** Answers that Envoy, or the agent itself, refused. By short type name. */
  readonly rejections: Measure;
  /** 1 while what Envoy refused last has not been followed by something it accepted. By short type name. */
  readonly rejected: Measure;
  /** Seconds since the control plane was last heard of, while the cache serves Envoy; else 0. */
  readonly cacheStalenessSeconds: Measure;
  /** By result: `success`, `no_remote_load`, `unmarshal_failure`, `fetch_failure`, `miss_remote_fetch_hint`. */
  readonly wasmConversions: Measure;
  /** Of all extensions of an answer together, in milliseconds as the reference counts it. */
  readonly wasmConversionDuration: DurationMeasure;
  /** By result: `success`, `download_failure`, `manifest_failure`, `checksum_mismatched`, `fetch_failure`. */
  readonly wasmFetches: Measure;
  /** Modules on disk. */
  readonly wasmCacheEntries: Measure;
  /** By hit: `true`, `false`. */
  readonly wasmCacheLookups: Measure;
}
