// SPDX-License-Identifier: Apache-2.0
import { isIpv4, isIpv6 } from "../../lib/net/ip-address.ts";
import runtimeBase from "../../../bootstrap/runtime.json" with { type: "json" };
import { join } from "node:path";
import type {
  BootstrapAddresses,
  BootstrapClusterManager,
  BootstrapConfig,
  ClientTls,
  KeepaliveConfig,
  RemoteServiceConfig,
  TracerConfig,
} from "../../bootstrap/bootstrap-config.ts";
import type { JsonValue } from "../../model/node.ts";
import type { DiscoverySource } from "../agent-config.ts";
import { parseInteger } from "../sources/environment.ts";
import { resolveHostPort } from "../host-port.ts";
import { type RemoteService, type TlsSettings, isJsonObject, protoDurationMs } from "../proxy-config/proxy-config.ts";
import { plain } from "../proxy-config/reader.ts";
import { type Sources, places } from "../sources/sources.ts";
import { bootstrapStats } from "./stats-section.ts";
import { compliancePolicy } from "./trust-section.ts";

/** What Envoy's bootstrap is made of. */
export function bootstrapConfig(sources: Sources, discovery: DiscoverySource, foreignSds: boolean): BootstrapConfig {
  const { env, proxy, node, flags, role, findings } = sources;
  const usesAds = discovery.kind === "ads";
  const apiType = usesAds && discovery.delta ? "DELTA_GRPC" : "GRPC";
  const wantsMetadata = node.metadata["METADATA_DISCOVERY"] === "true" || role === "waypoint";
  if (wantsMetadata && usesAds && apiType === "GRPC") {
    findings.warn("ISTIO_DELTA_XDS", "metadata discovery needs delta xDS; it is switched off");
  }
  const socketFile = env.string("WORKLOAD_IDENTITY_SOCKET_FILE");
  checkPlaces(sources);
  return {
    node,
    logAsJson: flags.log_as_json,
    addresses: bootstrapAddresses(node.ips, env.bool("ISTIO_DUAL_STACK")),
    ports: {
      admin: proxy.proxyAdminPort,
      agentStatus: proxy.statusPort,
      // nobody would answer behind it
      status: proxy.statusPort === 0 ? 0 : env.int("ENVOY_STATUS_PORT"),
      prometheus: env.int("ENVOY_PROMETHEUS_PORT"),
      secureMetrics: env.int("ENVOY_SECURE_METRICS_PORT"),
      secureMergedMetrics: env.int("ENVOY_SECURE_MERGED_METRICS_PORT"),
    },
    discovery: usesAds ? { kind: "ads", socketPath: discovery.proxy.socketPath, apiType } : discovery,
    sds: {
      socketPath: `${places.workloadSockets}/${socketFile}`,
      filesSocketPath: foreignSds ? places.filesSocket : undefined,
    },
    metadataDiscovery: wantsMetadata && usesAds && apiType === "DELTA_GRPC",
    runtime: runtimeFlags(sources),
    stats: bootstrapStats(sources),
    statusProxyProtocol: env.bool("ENVOY_STATUS_PORT_ENABLE_PROXY_PROTOCOL"),
    downstreamConnectionLimit: connectionLimit(sources),
    clusterManager: clusterManager(sources),
    selfDiscovery: node.metadata["ENABLE_SELF_DISCOVERY"] === "true",
    tracer: tracer(sources),
    metricsService: remoteService(sources, "envoyMetricsService"),
    accessLogService: remoteService(sources, "envoyAccessLogService"),
    statsdAddress: proxy.statsdUdpAddress ? resolveHostPort(proxy.statsdUdpAddress, env.string("HOST_IP")) : undefined,
  };
}

/** What a Unix socket's address holds, without the byte that ends it. */
const longestSocketPath = 107;

function checkPlaces({ env, proxy, findings }: Sources): void {
  const path = `${proxy.configPath}/XDS`;
  if (Buffer.byteLength(path) > longestSocketPath || path.includes("\u0000")) {
    findings.problem(
      "configPath",
      `a socket cannot be made at ${path}: a path holds ${String(longestSocketPath)} bytes`,
    );
  }
  for (const name of ["ENVOY_STATUS_PORT", "ENVOY_PROMETHEUS_PORT"] as const) {
    const port = env.int(name);
    if (port < 0 || port > 65_535) findings.problem(name, `port ${String(port)} must be in the range 1..65535`);
    if (port === 0) findings.warn(name, "is 0: Envoy listens on a port of the system's choice, not on none");
  }
  for (const name of ["ENVOY_SECURE_METRICS_PORT", "ENVOY_SECURE_MERGED_METRICS_PORT"] as const) {
    const port = env.int(name);
    if (port < 0 || port > 65_535)
      findings.problem(name, `port ${String(port)} must be in the range 1..65535, or 0 for none`);
  }
}

const v4 = { local: "127.0.0.1", wildcard: "0.0.0.0" } as const;
const v6 = { local: "::1", wildcard: "::" } as const;

/** Which family Envoy's own listeners use. The first address decides; both are used when dual stack is switched on. */
export function bootstrapAddresses(ips: readonly string[], dualStack: boolean): BootstrapAddresses {
  if (ips.every((ip) => isIpv6(ip))) return { ...v6, additional: undefined, dnsLookupFamily: "V6_ONLY" };
  if (ips.every((ip) => isIpv4(ip)) || !dualStack) return { ...v4, additional: undefined, dnsLookupFamily: "V4_ONLY" };
  const first = ips[0] ?? "";
  return isIpv6(first) && !/^fe[89ab]/i.test(first)
    ? { ...v6, additional: v4, dnsLookupFamily: "ALL" }
    : { ...v4, additional: v6, dnsLookupFamily: "ALL" };
}

function runtimeFlags(sources: Sources): Readonly<Record<string, JsonValue>> {
  const { env, proxy } = sources;
  const flags = new Map<string, JsonValue>(Object.entries(runtimeBase.always));
  const add = (more: Readonly<Record<string, JsonValue>>): void => {
    for (const [key, value] of Object.entries(more)) flags.set(key, value);
  };
  if (compliancePolicy(sources) === "fips-140-2") add(runtimeBase.fips1402);
  if (!env.bool("HTTP_STRIP_FRAGMENT_FROM_PATH_UNSAFE_IF_DISABLED")) add(runtimeBase.keepFragments);
  for (const [key, text] of Object.entries(proxy.runtimeValues ?? {})) {
    if (text === "") flags.delete(key);
    else flags.set(key, text === "true" ? true : text === "false" ? false : text);
  }
  return Object.fromEntries(flags);
}

/** The largest number of connections that Envoy's field holds. */
const unlimitedConnections = 2_147_483_647;

function connectionLimit({ proxy, findings }: Sources): number {
  const setting = proxy.connectionSettings?.["globalDownstreamConnectionLimit"];
  if (typeof setting === "number" && setting > 0) return setting;
  const named = [
    [
      "proxyMetadata.ISTIO_META_GLOBAL_DOWNSTREAM_MAX_CONNECTIONS",
      proxy.proxyMetadata?.["ISTIO_META_GLOBAL_DOWNSTREAM_MAX_CONNECTIONS"],
    ],
    [
      "runtimeValues.overload.global_downstream_max_connections",
      proxy.runtimeValues?.["overload.global_downstream_max_connections"],
    ],
  ] as const;
  for (const [source, text] of named) {
    if (text === undefined || text === "") continue;
    const limit = parseInteger(text);
    if (limit !== undefined && limit > 0) return limit;
    findings.warn(source, `${JSON.stringify(text)} is not a number above 0; it is ignored`);
  }
  return unlimitedConnections;
}

function clusterManager({ flags, node, findings }: Sources): BootstrapClusterManager {
  const text = node.metadata["LOAD_STATS_CONFIG_JSON"];
  const outlierLogPath = flags.outlierLogPath === "" ? undefined : flags.outlierLogPath;
  if (typeof text !== "string" || text === "") return { outlierLogPath, loadStatsConfig: undefined };
  const value = parseJson(text);
  if (!isJsonObject(value)) findings.problem("ISTIO_META_LOAD_STATS_CONFIG_JSON", "is not a JSON object");
  return { outlierLogPath, loadStatsConfig: isJsonObject(value) ? value : undefined };
}

function parseJson(text: string): JsonValue | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return plain(value);
  } catch {
    return undefined;
  }
}

function tracer(sources: Sources): TracerConfig | undefined {
  const { env, findings } = sources;
  const { tracing, configPath } = sources.proxy;
  if (tracing === undefined) return undefined;
  const hostIp = env.string("HOST_IP");
  for (const kind of ["zipkin", "datadog", "openTelemetry", "lightstep"] as const) {
    const address = resolveHostPort(tracing[kind]?.address ?? "", hostIp);
    if (tracing[kind] === undefined || address === undefined) continue;
    const tls = clientTls(sources, "tracing", tracing.tlsSettings);
    if (kind !== "lightstep") return { kind, address, tls };
    findings.warn(
      "tracing.lightstep",
      "Envoy 1.40 has no Lightstep tracer any more and ends over it; use openTelemetry",
    );
    return {
      kind,
      address,
      tls,
      accessTokenPath: join(configPath, "lightstep_access_token.txt"),
      accessToken: tracing.lightstep?.accessToken ?? "",
    };
  }
  for (const kind of ["stackdriver", "openCensusAgent"] as const) {
    if (tracing[kind] !== undefined)
      findings.warn(`tracing.${kind}`, "Envoy has no such tracer any more; it is ignored");
  }
  return undefined;
}

function remoteService(
  sources: Sources,
  field: "envoyMetricsService" | "envoyAccessLogService",
): RemoteServiceConfig | undefined {
  const service = sources.proxy[field];
  const address = resolveHostPort(service?.address ?? "", sources.env.string("HOST_IP"));
  if (service === undefined || address === undefined) return undefined;
  const tls = clientTls(sources, field, service.tlsSettings);
  if (tls?.mode === "MUTUAL" && (tls.chainPath === "" || tls.keyPath === "")) {
    sources.findings.problem(
      `ProxyConfig, field ${field}`,
      "tlsSettings of mode MUTUAL needs clientCertificate and privateKey, or TLS_CLIENT_CERT_CHAIN and TLS_CLIENT_KEY in the metadata",
    );
  }
  return { address, tls, keepalive: keepalive(service) };
}

function keepalive({ tcpKeepalive }: RemoteService): KeepaliveConfig | undefined {
  if (tcpKeepalive === undefined) return undefined;
  const seconds = (text: string | undefined): number => Math.trunc(protoDurationMs(text) / 1_000);
  return {
    probes: tcpKeepalive.probes ?? 0,
    timeSeconds: seconds(tcpKeepalive.time),
    intervalSeconds: seconds(tcpKeepalive.interval),
  };
}

/** Paths in the node's metadata come before those of the settings. */
function clientTls(
  { node, findings }: Sources,
  field: "tracing" | "envoyMetricsService" | "envoyAccessLogService",
  tls: TlsSettings | undefined,
): ClientTls | undefined {
  if (tls?.mode === undefined || tls.mode === "DISABLE") return undefined;
  const path = (key: string, setting: string | undefined): string => {
    const value = node.metadata[key];
    return typeof value === "string" && value !== "" ? value : (setting ?? "");
  };
  const caPath = path("TLS_CLIENT_ROOT_CERT", tls.caCertificates);
  const subjectAltNames = tls.subjectAltNames ?? [];
  if (caPath === "" && tls.mode !== "ISTIO_MUTUAL") {
    const source = `ProxyConfig, field ${field}`;
    const missing = "tlsSettings has no caCertificates";
    if (subjectAltNames.length > 0) findings.problem(source, `${missing}, which subjectAltNames need`);
    else findings.warn(source, `${missing}: Envoy does not verify the server's certificate`);
  }
  return {
    mode: tls.mode,
    sni: tls.sni ?? "",
    subjectAltNames,
    caPath,
    chainPath: path("TLS_CLIENT_CERT_CHAIN", tls.clientCertificate),
    keyPath: path("TLS_CLIENT_KEY", tls.privateKey),
  };
}
