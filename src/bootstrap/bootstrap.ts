// SPDX-License-Identifier: Apache-2.0
import base from "../../bootstrap/bootstrap.json" with { type: "json" };
import discoveryBase from "../../bootstrap/discovery.json" with { type: "json" };
import logs from "../../bootstrap/logs.json" with { type: "json" };
import sinks from "../../bootstrap/sinks.json" with { type: "json" };
import tracers from "../../bootstrap/tracers.json" with { type: "json" };
import type { JsonObject, JsonValue } from "../lib/json.ts";
import { renderAdminAddress } from "../model/bootstrap-facts.ts";
import type { Locality } from "../model/node.ts";
import type { BootstrapConfig, BootstrapDiscovery } from "./bootstrap-config.ts";
import { renderClusters } from "./clusters.ts";
import { renderListeners } from "./listeners.ts";
import { fillSlots } from "./slots.ts";
import { renderDuration, renderHistogramBuckets, renderStatsInclusion, renderStatsTags } from "./stats.ts";

/**
 * Envoy's bootstrap. Pure: the same configuration gives the same document.
 * Source: the document that Istio's agent generates, observed from its development line to 1.32
 */
export function renderBootstrap(config: BootstrapConfig): JsonObject {
  const { node, stats } = config;
  return fillSlots(base, {
    logFormat: config.logAsJson ? logs.json : logs.text,
    node: { id: node.id, cluster: node.cluster, locality: renderLocality(node.locality), metadata: node.metadata },
    runtime: config.runtime,
    metadataDiscovery: config.metadataDiscovery ? discoveryBase.metadataDiscovery : undefined,
    statsFlushInterval: renderDuration(stats.flushIntervalMs),
    statsEvictionInterval: renderDuration(stats.evictionIntervalMs),
    statsTags: renderStatsTags(stats.extraTags),
    histogramBuckets: renderHistogramBuckets(stats.histogramBuckets),
    statsInclusion: renderStatsInclusion(config),
    adminAddress: renderAdminAddress(config.admin),
    dynamicResources: renderDiscovery(config.discovery),
    tracing: renderTracing(config),
    clusters: renderClusters(config),
    listeners: renderListeners(config),
    statsSinks: renderStatsSinks(config),
    clusterManager: renderClusterManager(config),
    downstreamConnectionLimit: config.downstreamConnectionLimit,
  });
}

/** The known parts, with Envoy's names. */
export function renderLocality({ region, zone, subZone }: Locality): JsonObject {
  const parts = { region, zone, sub_zone: subZone };
  return Object.fromEntries(Object.entries(parts).filter(([, text]) => text !== ""));
}

function renderDiscovery(discovery: BootstrapDiscovery): JsonObject {
  if (discovery.kind === "ads") return fillSlots(discoveryBase.ads, { apiType: discovery.apiType });
  const { directory } = discovery;
  return fillSlots(discoveryBase.files, {
    directory,
    listenersPath: `${directory}/lds.yaml`,
    clustersPath: `${directory}/cds.yaml`,
  });
}

function renderTracing({ tracer, node }: BootstrapConfig): JsonObject | undefined {
  switch (tracer?.kind) {
    case undefined:
      return undefined;
    case "zipkin":
      return { http: tracers.zipkin };
    case "lightstep":
      return { http: fillSlots(tracers.lightstep, { accessTokenPath: tracer.accessTokenPath }) };
    case "openTelemetry":
      return { http: fillSlots(tracers.openTelemetry, { serviceName: node.cluster }) };
    case "datadog":
      return { http: fillSlots(tracers.datadog, { serviceName: node.cluster }) };
  }
}

function renderStatsSinks({ metricsService, statsdAddress }: BootstrapConfig): readonly JsonObject[] | undefined {
  const list: JsonObject[] = [];
  if (metricsService !== undefined) list.push(sinks.metricsService);
  if (statsdAddress !== undefined) {
    list.push(fillSlots(sinks.statsd, { address: statsdAddress.host, port: statsdAddress.port }));
  }
  return list.length === 0 ? undefined : list;
}

/** Undefined when it has no parts. */
function renderClusterManager(config: BootstrapConfig): JsonObject | undefined {
  const { outlierLogPath, loadStatsConfig } = config.clusterManager;
  const parts: Record<string, JsonValue> = {};
  if (config.selfDiscovery && config.discovery.kind === "ads") parts["local_cluster_name"] = "local_cluster";
  if (outlierLogPath !== undefined) parts["outlier_detection"] = { event_log_path: outlierLogPath };
  if (loadStatsConfig !== undefined) parts["load_stats_config"] = loadStatsConfig;
  return Object.keys(parts).length === 0 ? undefined : { ...parts, enable_deferred_cluster_creation: true };
}
