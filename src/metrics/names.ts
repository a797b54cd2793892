// SPDX-License-Identifier: Apache-2.0

/** A metric family's name and the sentence that explains it to whoever reads a scrape. */
export interface MetricName {
  readonly name: string;
  readonly help: string;
}

/**
 * All families that the agent itself exposes. Those that pilot-agent has keep its names, also where the name does not
 * follow today's conventions; where it misleads, a family with a better name stands beside it.
 * Source: istio pkg/istio-agent, security/pkg/nodeagent, pilot/cmd/pilot-agent/metrics
 */
export const metricNames = {
  buildInfo: metric("build_info", "Version of the agent, as labels; always 1."),
  startupDuration: metric("startup_duration_seconds", "Time from the agent's start until it was ready first."),
  ready: metric("ready", "1 when the last readiness check passed, else 0."),
  scrapes: metric("scrapes_total", "Scrapes of the merged metrics."),
  scrapeFailures: metric("scrape_failures_total", "Parts that are missing from a scrape, by type."),
  scrapeAborts: metric("scrape_aborts_total", "Scrapes that the scraper gave up before their end."),
  duplicateFamilies: metric(
    "scrape_duplicate_families_total",
    "Families that more than one part of a scrape declared.",
  ),
  targetUp: metric("target_up", "1 when the target's metrics are in this scrape whole, else 0."),
  istiodConnectionFailures: metric("istiod_connection_failures", "Failed connections to the control plane."),
  istiodTerminations: metric("istiod_connection_terminations", "Streams to the control plane that ended, by type."),
  envoyTerminations: metric("envoy_connection_terminations", "Streams from Envoy that ended, by type."),
  xdsRequests: metric("xds_proxy_requests", "Messages passed on from Envoy to the control plane."),
  xdsResponses: metric("xds_proxy_responses", "Messages passed on from the control plane to Envoy."),
  xdsReceivedLast: metric(
    "pilot_xds_recv_max",
    "Size in bytes of the last message from Envoy, whatever the name says.",
  ),
  xdsReceivedLargest: metric("xds_request_largest_bytes", "Size in bytes of the largest message from Envoy so far."),
  sdsInternalErrors: metric("pilot_total_xds_internal_errors", "Internal errors of the SDS server."),
  sdsWriteTimeouts: metric("pilot_xds_write_timeout", "Answers of the SDS server that nobody took in time."),
  sdsExpiredNonces: metric("pilot_xds_expired_nonce", "Requests about an answer that is not the last, by type."),
  sdsRejects: metric("pilot_total_xds_rejects", "Answers of the SDS server that were rejected, by type."),
  sdsSendTime: metric("pilot_xds_send_time", "Time in seconds that a push of the SDS server took."),
  csrRequests: metric("num_outgoing_requests", "Requests to the CA, by type."),
  csrFailures: metric("num_failed_outgoing_requests", "Failed requests to the CA, by type."),
  csrRetries: metric("num_outgoing_retries", "Repeated requests to the CA, by type."),
  csrLatencySum: metric("outgoing_latency", "Sum of the milliseconds that requests to the CA took, by type."),
  csrDuration: metric("ca_request_duration_seconds", "Time that requests to the CA took."),
  fileWatcherFailures: metric("num_file_watcher_failures_total", "Watches of certificate files that failed."),
  fileSecretFailures: metric("num_file_secret_failures_total", "Certificate files that could not be used."),
  certificateExpiry: metric("cert_expiry_seconds", "Seconds until the certificate expires; negative once it has."),
  dnsRequests: metric("dns_requests_total", "Requests to the DNS proxy."),
  dnsUpstreamRequests: metric("dns_upstream_requests_total", "Requests passed on to upstream resolvers."),
  dnsUpstreamFailures: metric("dns_upstream_failures_total", "Requests that upstream resolvers failed."),
  dnsUpstreamDuration: metric("dns_upstream_request_duration_seconds", "Time that upstream resolvers took."),
  envoyRestarts: metric("envoy_restarts_total", "Times that Envoy was started again after it had died."),
  envoyHotRestarts: metric("envoy_hot_restarts_total", "Replacements of Envoy while it served, by outcome."),
  wasmEntries: metric("wasm_cache_entries", "Wasm modules in the cache."),
  wasmLookups: metric("wasm_cache_lookup_count", "Look-ups in the Wasm cache, by hit."),
  wasmFetches: metric("wasm_remote_fetch_count", "Fetches of Wasm modules, by result."),
  wasmConversions: metric("wasm_config_conversion_count", "Conversions of Wasm configuration, by result."),
  wasmConversionDuration: metric("wasm_config_conversion_duration", "Milliseconds that a conversion took."),
  processCpu: metric("process_cpu_seconds_total", "Processor time that the agent has used, in seconds."),
  processOpenFiles: metric("process_open_fds", "Files and sockets that the agent has open."),
  processMostFiles: metric("process_max_fds", "Files and sockets that the agent may have open."),
  processResident: metric("process_resident_memory_bytes", "Memory of the agent that is resident."),
  processVirtual: metric("process_virtual_memory_bytes", "Address space that the agent has reserved."),
  processMostVirtual: metric("process_virtual_memory_max_bytes", "Address space that the agent may reserve."),
  processStart: metric("process_start_time_seconds", "When the agent was started, in seconds since 1970."),
  processReceived: metric("process_network_receive_bytes_total", "Bytes that the pod's network received."),
  processSent: metric("process_network_transmit_bytes_total", "Bytes that the pod's network sent."),
} as const;

function metric(name: string, help: string): MetricName {
  return { name: `istio_agent_${name}`, help };
}
