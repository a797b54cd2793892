// SPDX-License-Identifier: Apache-2.0
import base from "../../bootstrap/clusters.json" with { type: "json" };
import type { JsonObject, JsonValue } from "../lib/json.ts";
import type { HostPort } from "../lib/net/host-port.ts";
import type { BootstrapConfig, RemoteServiceConfig, TracerConfig } from "./bootstrap-config.ts";
import { fillSlots } from "./slots.ts";
import { renderUpstreamTls } from "./tls.ts";

/** Every static cluster, in the order in which the reference writes them. */
export function renderClusters(config: BootstrapConfig): readonly JsonObject[] {
  const { addresses, ports, sds, discovery } = config;
  const admin = "socketPath" in config.admin ? pipe(config.admin.socketPath) : tcp(config.admin, "TCP");
  const clusters: (JsonObject | undefined)[] = [
    staticCluster("prometheus_stats", "0.250s", admin),
    staticCluster("agent", "0.250s", tcp({ host: addresses.local, port: ports.agentStatus }, "TCP")),
    staticCluster("sds-grpc", "1s", pipe(sds.socketPath), base.http2),
    sds.filesSocketPath === undefined
      ? undefined
      : staticCluster("sds-files-grpc", "1s", pipe(sds.filesSocketPath), base.http2),
    discovery.kind === "ads" ? xdsCluster(discovery.socketPath) : undefined,
    config.tracer === undefined ? undefined : tracerCluster(config.tracer, config),
    remoteService("envoy_metrics_service", config.metricsService, config),
    remoteService("envoy_accesslog_service", config.accessLogService, config),
    config.selfDiscovery && discovery.kind === "ads" ? base.local : undefined,
  ];
  return clusters.filter((cluster) => cluster !== undefined);
}

function staticCluster(name: string, connectTimeout: string, address: JsonObject, http2?: JsonObject): JsonObject {
  return fillSlots(base.static, {
    name,
    altStatName: `${name};`,
    connectTimeout,
    http2,
    loadAssignment: loadAssignment(name, address),
  });
}

function xdsCluster(socketPath: string): JsonObject {
  return fillSlots(base.xds, { loadAssignment: loadAssignment("xds-grpc", pipe(socketPath)) });
}

const tracerClusterNames = {
  zipkin: "zipkin",
  lightstep: "lightstep",
  datadog: "datadog_agent",
  openTelemetry: "opentelemetry",
} as const;

/** Lightstep and OpenTelemetry use gRPC, the two others HTTP/1. */
function tracerCluster(tracer: TracerConfig, config: BootstrapConfig): JsonObject {
  const name = tracerClusterNames[tracer.kind];
  const http2 = tracer.kind === "lightstep" || tracer.kind === "openTelemetry";
  return remoteCluster(name, tracer.address, config, {
    dnsRefreshRate: tracer.kind === "zipkin" ? "30s" : undefined,
    http2: http2 ? base.http2 : undefined,
    transportSocket: renderUpstreamTls(tracer.tls, { alpn: http2, defaultSni: "tracer" }),
  });
}

function remoteService(
  name: string,
  service: RemoteServiceConfig | undefined,
  config: BootstrapConfig,
): JsonObject | undefined {
  if (service === undefined) return undefined;
  return remoteCluster(name, service.address, config, {
    http2: base.http2,
    transportSocket: renderUpstreamTls(service.tls, { alpn: true, defaultSni: name }),
    keepalive: keepaliveOptions(service),
  });
}

function remoteCluster(
  name: string,
  address: HostPort,
  config: BootstrapConfig,
  slots: Readonly<Record<string, JsonValue | undefined>>,
): JsonObject {
  return fillSlots(base.remote, {
    name,
    altStatName: `${name};`,
    dnsLookupFamily: config.addresses.dnsLookupFamily,
    loadAssignment: loadAssignment(name, tcp(address)),
    ...slots,
  });
}

/** As plain numbers, the JSON form of protobuf's wrapper types. */
function keepaliveOptions({ keepalive }: RemoteServiceConfig): JsonObject | undefined {
  if (keepalive === undefined) return undefined;
  const options: Record<string, JsonValue> = {};
  if (keepalive.probes > 0) options["keepalive_probes"] = keepalive.probes;
  if (keepalive.timeSeconds > 0) options["keepalive_time"] = keepalive.timeSeconds;
  if (keepalive.intervalSeconds > 0) options["keepalive_interval"] = keepalive.intervalSeconds;
  return { tcp_keepalive: options };
}

function loadAssignment(name: string, address: JsonObject): JsonObject {
  return fillSlots(base.loadAssignment, { name, address });
}

function pipe(path: string): JsonObject {
  return { pipe: { path } };
}

function tcp({ host, port }: HostPort, protocol?: "TCP"): JsonObject {
  const address: JsonObject = { address: host, port_value: port };
  return { socket_address: protocol === undefined ? address : { protocol, ...address } };
}
