// SPDX-License-Identifier: Apache-2.0
import runtimeBase from "../../../bootstrap/runtime.json" with { type: "json" };
import { normalize } from "node:path";
import type { BootstrapAddresses, BootstrapClusterManager, BootstrapConfig } from "../../bootstrap/bootstrap-config.ts";
import { type JsonObject, type JsonValue, objectOf, isJsonObject, toJsonValue, tryParseJson } from "../../lib/json.ts";
import { isIpv4, isIpv6 } from "../../lib/net/ip-address.ts";
import type { BootstrapSource, DiscoverySource } from "../agent-config.ts";
import { parseInteger } from "../sources/environment.ts";
import { type EnvoyAdminAddress, renderAdminAddress } from "../../model/bootstrap-facts.ts";
import { type Sources, places } from "../sources/sources.ts";
import type { OwnBootstrap } from "./own-bootstrap.ts";
import { bootstrapStats } from "./stats-section.ts";
import { remoteService, statsdAddress, tracer } from "./telemetry-section.ts";
import { compliancePolicy } from "./trust-section.ts";

/** The inputs of Envoy's bootstrap. */
export function bootstrapConfig(
  sources: Sources,
  discovery: DiscoverySource,
  { externalSds, admin }: { readonly externalSds: boolean; readonly admin: EnvoyAdminAddress },
): BootstrapConfig {
  const { env, proxy, node, flags, role, findings } = sources;
  const usesAds = discovery.kind === "ads";
  const apiType = usesAds && discovery.delta ? "DELTA_GRPC" : "GRPC";
  const wantsMetadata = node.metadata["METADATA_DISCOVERY"] === "true" || role === "waypoint";
  if (wantsMetadata && usesAds && apiType === "GRPC") {
    findings.warn("ISTIO_DELTA_XDS", "metadata discovery needs delta xDS; it is off");
  }
  const socketFile = env.string("WORKLOAD_IDENTITY_SOCKET_FILE");
  checkPlaces(sources);
  return {
    node,
    logAsJson: flags.log_as_json,
    addresses: bootstrapAddresses(node.ips, env.bool("ISTIO_DUAL_STACK")),
    admin,
    ports: {
      agentStatus: proxy.statusPort,
      // Without the agent's status server, Envoy's readiness listener has no upstream.
      status: proxy.statusPort === 0 ? 0 : env.int("ENVOY_STATUS_PORT"),
      prometheus: env.int("ENVOY_PROMETHEUS_PORT"),
      secureMetrics: env.int("ENVOY_SECURE_METRICS_PORT"),
      secureMergedMetrics: env.int("ENVOY_SECURE_MERGED_METRICS_PORT"),
    },
    discovery: usesAds ? { kind: "ads", socketPath: discovery.proxy.socketPath, apiType } : discovery,
    sds: {
      socketPath: `${places.workloadSockets}/${socketFile}`,
      filesSocketPath: externalSds ? places.filesSocket : undefined,
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
    statsdAddress: statsdAddress(sources),
  };
}

/** The longest path of a Unix socket, without its final zero byte. */
const longestSocketPath = 107;

function checkPlaces({ env, proxy, fieldSource, findings }: Sources): void {
  const path = `${proxy.configPath}/XDS`;
  if (Buffer.byteLength(path) > longestSocketPath || path.includes("\u0000")) {
    findings.problem(
      fieldSource("configPath"),
      `the socket path ${path} is too long or contains a zero byte; a path has at most ${String(longestSocketPath)} bytes`,
    );
  }
  for (const name of ["ENVOY_STATUS_PORT", "ENVOY_PROMETHEUS_PORT"] as const) {
    const port = env.int(name);
    if (port < 0 || port > 65_535) findings.problem(name, `port ${String(port)} must be in the range 1..65535`);
    if (port === 0) findings.warn(name, "is 0: Envoy listens on a random port; this does not turn the listener off");
  }
  for (const name of ["ENVOY_SECURE_METRICS_PORT", "ENVOY_SECURE_MERGED_METRICS_PORT"] as const) {
    const port = env.int(name);
    if (port < 0 || port > 65_535)
      findings.problem(name, `port ${String(port)} must be in the range 1..65535, or 0 for none`);
  }
}

const v4 = { local: "127.0.0.1", wildcard: "0.0.0.0" } as const;
const v6 = { local: "::1", wildcard: "::" } as const;

/**
 * The addresses of Envoy's own listeners. Each family that the pod has is served: the kubelet probes the pod's first
 * address, whatever its family. Which one comes first, and which addresses Envoy looks up, follows the reference: without
 * dual stack a pod of both families is one of IPv4.
 */
export function bootstrapAddresses(ips: readonly string[], dualStack: boolean): BootstrapAddresses {
  if (ips.every((ip) => isIpv6(ip))) return { ...v6, additional: undefined, dnsLookupFamily: "V6_ONLY" };
  if (ips.every((ip) => isIpv4(ip))) return { ...v4, additional: undefined, dnsLookupFamily: "V4_ONLY" };
  if (!dualStack) return { ...v4, additional: v6, dnsLookupFamily: "V4_ONLY" };
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

function connectionLimit({ proxy, fieldSource, findings }: Sources): number {
  const setting = proxy.connectionSettings?.["globalDownstreamConnectionLimit"];
  if (typeof setting === "number" && setting > 0) return setting;
  const named = [
    [
      `${fieldSource("proxyMetadata")}.ISTIO_META_GLOBAL_DOWNSTREAM_MAX_CONNECTIONS`,
      proxy.proxyMetadata?.["ISTIO_META_GLOBAL_DOWNSTREAM_MAX_CONNECTIONS"],
    ],
    [
      `${fieldSource("runtimeValues")}.overload.global_downstream_max_connections`,
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
  const value = toJsonValue(tryParseJson(text));
  if (!isJsonObject(value)) findings.problem("ISTIO_META_LOAD_STATS_CONFIG_JSON", "is not a JSON object");
  return { outlierLogPath, loadStatsConfig: isJsonObject(value) ? value : undefined };
}

/** The generated document, the custom one with what is merged over it, or the custom file that Envoy reads unchanged. */
export function bootstrapSource(sources: Sources, config: BootstrapConfig, own: OwnBootstrap): BootstrapSource {
  const path = normalize(`${sources.proxy.configPath}/envoy-rev.json`);
  const { override, custom, admin } = own;
  if (custom === undefined) {
    checkTemplates(sources);
    return { kind: "generated", path, config, override };
  }
  const { document, path: customPath, lacksAdmin } = custom;
  if (typeof document === "string") {
    if (override !== undefined && document !== "") {
      sources.findings.problem(
        "ISTIO_BOOTSTRAP_OVERRIDE",
        `cannot be merged into ${customPath}, which ${document}; make the change in that file`,
      );
    }
    return { kind: "file", path: customPath };
  }
  const added = lacksAdmin ? withAdmin(override, admin) : override;
  return added === undefined
    ? { kind: "file", path: customPath }
    : { kind: "merged", path, customPath, custom: document, override: added };
}

function withAdmin(override: JsonObject | undefined, admin: EnvoyAdminAddress): JsonObject {
  return { ...override, admin: { ...objectOf(override?.["admin"]), address: renderAdminAddress(admin) } };
}

/**
 * A custom bootstrap template is a problem. The template of Istio's image is accepted: it stands for the document
 * that the agent generates.
 */
function checkTemplates({ env, flags, proxy, fieldSource, findings }: Sources): void {
  const given = [
    ["ISTIO_BOOTSTRAP", env.string("ISTIO_BOOTSTRAP")],
    ["--templateFile", flags.templateFile],
    [fieldSource("proxyBootstrapTemplatePath"), proxy.proxyBootstrapTemplatePath ?? ""],
  ] as const;
  for (const [source, path] of given) {
    if (path === "" || normalize(`/${path}`) === normalize(`/${places.template}`)) continue;
    findings.problem(
      source,
      `bootstrap templates are not supported (${path}); use ISTIO_BOOTSTRAP_OVERRIDE with the parts to change, or customConfigFile with a whole bootstrap`,
    );
  }
}
