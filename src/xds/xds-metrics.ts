// SPDX-License-Identifier: Apache-2.0
import { DurationMeasure, Measure } from "../lib/measures.ts";

/** What the proxy counts. Names in an exposition are the metrics room's affair. */
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

const endings = [["cancelled"], ["error"]] as const;

const fetchResults = ["success", "download_failure", "manifest_failure", "checksum_mismatched", "fetch_failure"];
const failedConversions = ["unmarshal_failure", "fetch_failure", "miss_remote_fetch_hint"];
const conversionResults = ["success", "no_remote_load", ...failedConversions];
/** Milliseconds: 1, 2, 4 ... 16384. */
const conversionBounds = Array.from({ length: 15 }, (_, power) => 2 ** power);

const single = (value: string): readonly string[] => [value];

export function createXdsMetrics(): XdsMetrics {
  return {
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
    wasmConversions: new Measure(["result"], conversionResults.map(single)),
    wasmConversionDuration: new DurationMeasure(conversionBounds, "ms"),
    wasmFetches: new Measure(["result"], fetchResults.map(single)),
    wasmCacheEntries: new Measure(),
    wasmCacheLookups: new Measure(["hit"], [["true"], ["false"]]),
  };
}
