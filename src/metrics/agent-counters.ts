// SPDX-License-Identifier: Apache-2.0
import { Counter, Gauge, Histogram } from "../lib/metrics.ts";

/**
 * The metrics that modules count in, one group for each. Every series whose labels are known is exposed at 0 from the
 * start. Metrics that pilot-agent has keep its names, also where a name does not follow today's conventions; where a
 * name misleads, a metric with a better name stands beside it.
 * Source: istio pkg/istio-agent, security/pkg/nodeagent, pilot/cmd/pilot-agent/metrics
 */
export function createAgentCounters() {
  return {
    start: startMetrics(),
    scrape: scrapeMetrics(),
    csr: csrMetrics(),
    files: fileMetrics(),
    certificate: certificateMetrics(),
    sds: sdsMetrics(),
    externalSds: externalSdsMetrics(),
    xds: xdsMetrics(),
    xdsUpdates: xdsUpdateMetrics(),
    wasm: wasmMetrics(),
    dns: dnsMetrics(),
  };
}

export type AgentCounters = Readonly<ReturnType<typeof createAgentCounters>>;

function startMetrics() {
  return {
    durationSeconds: gauge(
      "istio_agent_startup_duration_seconds",
      "Time from the agent's start until it was ready first.",
    ),
  };
}

function scrapeMetrics() {
  return {
    scrapes: counter("istio_agent_scrapes_total", "Scrapes of the merged metrics."),
    failures: counter("istio_agent_scrape_failures_total", "Parts that are missing from a scrape, by type.", {
      type: ["agent", "application", "envoy"],
    }),
    aborts: counter("istio_agent_scrape_aborts_total", "Scrapes that the scraper gave up before their end."),
    duplicateFamilies: counter(
      "istio_agent_scrape_duplicate_families_total",
      "Families that more than one part of a scrape declared.",
    ),
  };
}

function csrMetrics() {
  const type = { request_type: ["csr"] };
  return {
    requests: counter("istio_agent_num_outgoing_requests", "Requests to the CA, by type.", type),
    failures: counter("istio_agent_num_failed_outgoing_requests", "Failed requests to the CA, by type.", type),
    retries: counter("istio_agent_num_outgoing_retries", "Repeated requests to the CA, by type.", type),
    latencyMs: counter(
      "istio_agent_outgoing_latency",
      "Sum of the milliseconds that requests to the CA took, by type.",
      type,
    ),
    durationSeconds: new Histogram({
      name: "istio_agent_ca_request_duration_seconds",
      help: "Time that requests to the CA took.",
      buckets: [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30],
    }),
  };
}

function fileMetrics() {
  return {
    watcherFailures: counter(
      "istio_agent_num_file_watcher_failures_total",
      "Watches of certificate files that failed.",
    ),
    secretFailures: counter("istio_agent_num_file_secret_failures_total", "Certificate files that could not be used."),
  };
}

function certificateMetrics() {
  return {
    attempts: new Counter({
      name: "attache_cert_attempts_total",
      help: "Attempts to obtain a certificate, by outcome (ok, or the kind of failure) and the status of the call.",
      labelNames: ["outcome", "code"],
    }),
    trustDomainChanges: counter(
      "attache_cert_trust_domain_changes_total",
      "Certificates that the CA issued in another trust domain than the one before, or than the configured one at first.",
    ),
  };
}

/** The label `resource` is `default`, `ROOTCA`, `file-cert` or `file-root`. */
function sdsMetrics() {
  const sds = { type: ["sds"] };
  const resource = { resource: ["default", "ROOTCA"] };
  return {
    internalErrors: counter("istio_agent_pilot_total_xds_internal_errors", "Internal errors of the SDS server."),
    writeTimeouts: counter(
      "istio_agent_pilot_xds_write_timeout",
      "Responses of the SDS server that Envoy did not take in time.",
    ),
    expiredNonces: counter(
      "istio_agent_pilot_xds_expired_nonce",
      "Requests about a response that is not the last, by type.",
      sds,
    ),
    rejects: counter(
      "istio_agent_pilot_total_xds_rejects",
      "Responses of the SDS server that Envoy rejected, by type.",
      sds,
    ),
    sendTimeSeconds: new Histogram({
      name: "istio_agent_pilot_xds_send_time",
      help: "Time in seconds that a push of the SDS server took.",
      buckets: [0.01, 0.1, 1, 3, 5, 10, 20, 30],
    }),
    streams: gauge("attache_sds_streams", "Open SDS streams."),
    subscribers: gauge("attache_sds_subscribers", "Streams that follow a secret.", resource),
    sent: counter("attache_sds_sent_total", "Secrets sent.", resource),
    acks: counter("attache_sds_acks_total", "Secrets that Envoy accepted.", resource),
    nacks: counter("attache_sds_nacks_total", "Secrets that Envoy rejected.", resource),
    rejectedRequests: counter("attache_sds_refusals_total", "Rejected requests, by gRPC status.", { reason: [] }),
  };
}

function externalSdsMetrics() {
  return {
    up: gauge(
      "attache_foreign_sds_up",
      "1 while the process that serves the workload certificate instead of the agent accepts connections, else 0.",
    ),
  };
}

function xdsMetrics() {
  const type = { type: ["cancelled", "error"] };
  return {
    requests: counter("istio_agent_xds_proxy_requests", "Messages passed on from Envoy to the control plane."),
    responses: counter("istio_agent_xds_proxy_responses", "Messages passed on from the control plane to Envoy."),
    connectionFailures: counter("istio_agent_istiod_connection_failures", "Failed connections to the control plane."),
    upstreamTerminations: counter(
      "istio_agent_istiod_connection_terminations",
      "Streams to the control plane that ended, by type.",
      type,
    ),
    envoyTerminations: counter(
      "istio_agent_envoy_connection_terminations",
      "Streams from Envoy that ended, by type.",
      type,
    ),
    lastRequestBytes: gauge(
      "istio_agent_pilot_xds_recv_max",
      "Size in bytes of the last message from Envoy, whatever the name says.",
    ),
    largestRequestBytes: gauge(
      "istio_agent_xds_request_largest_bytes",
      "Size in bytes of the largest message from Envoy so far.",
    ),
  };
}

/** Exposed where the agent proxies xDS. The label `type` is the short name of a resource type. */
function xdsUpdateMetrics() {
  const type = { type: [] };
  return {
    rejections: counter("attache_xds_rejections_total", "Updates that Envoy or the agent rejected, by type.", type),
    rejected: gauge("attache_xds_rejected", "1 while the last update of the type is rejected, else 0.", type),
    cacheStalenessSeconds: gauge(
      "attache_xds_cache_staleness_seconds",
      "Seconds since the control plane last sent something, while the cache serves Envoy; else 0.",
    ),
  };
}

const fetchResults = ["success", "download_failure", "manifest_failure", "checksum_mismatched", "fetch_failure"];
const conversionResults = [
  "success",
  "no_remote_load",
  "marshal_failure",
  "unmarshal_failure",
  "fetch_failure",
  "miss_remote_fetch_hint",
];

function wasmMetrics() {
  return {
    wasmCacheEntries: gauge("istio_agent_wasm_cache_entries", "Wasm modules in the cache."),
    wasmCacheLookups: counter("istio_agent_wasm_cache_lookup_count", "Look-ups in the Wasm cache, by hit.", {
      hit: ["true", "false"],
    }),
    wasmFetches: counter("istio_agent_wasm_remote_fetch_count", "Fetches of Wasm modules, by result.", {
      result: fetchResults,
    }),
    wasmConversions: counter(
      "istio_agent_wasm_config_conversion_count",
      "Conversions of Wasm configuration, by result.",
      { result: conversionResults },
    ),
    wasmConversionMs: new Histogram({
      name: "istio_agent_wasm_config_conversion_duration",
      help: "Milliseconds that a conversion took.",
      buckets: Array.from({ length: 15 }, (_, power) => 2 ** power),
    }),
  };
}

function dnsMetrics() {
  return {
    requests: counter("istio_agent_dns_requests_total", "Requests to the DNS proxy."),
    upstreamRequests: counter("istio_agent_dns_upstream_requests_total", "Requests passed on to upstream resolvers."),
    upstreamFailures: counter("istio_agent_dns_upstream_failures_total", "Requests that upstream resolvers failed."),
    upstreamDurationSeconds: new Histogram({
      name: "istio_agent_dns_upstream_request_duration_seconds",
      help: "Time that upstream resolvers took.",
      buckets: [0.001, 0.005, 0.01, 0.1, 1, 5],
    }),
  };
}

/** One label, and those of its values whose series exist from the start. */
type Label = Readonly<Record<string, readonly string[]>>;

function counter(name: string, help: string, label: Label = {}): Counter {
  return new Counter({ name, help, ...seriesOf(label) });
}

function gauge(name: string, help: string, label: Label = {}): Gauge {
  return new Gauge({ name, help, ...seriesOf(label) });
}

function seriesOf(label: Label) {
  const [[labelName, values] = [undefined, []]] = Object.entries(label);
  return labelName === undefined ? {} : { labelNames: [labelName], initial: values.map((value) => [value]) };
}
