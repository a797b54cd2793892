// SPDX-License-Identifier: Apache-2.0
import { ipFamily } from "../../lib/net/ip-address.ts";
import { type JsonObject, type JsonValue, objectOf, textOf } from "../../lib/json.ts";
import type { Locality, NodeIdentity } from "../../model/node.ts";
import type { Findings } from "../config-error.ts";
import { parseBool } from "../sources/environment.ts";
import { nodeIps } from "./node-ips.ts";
import { type RawMetadata, collectMetadata, renderMetadata } from "./node-metadata.ts";
import { type StaticPlatform, staticGcpPlatform } from "./machine-section.ts";
import { type ProxyConfig, renderProxyConfig } from "../proxy-config/proxy-config.ts";
import { type Sources, places } from "../sources/sources.ts";

/** Further inputs of a node's identity. */
export interface NodeFacts {
  readonly proxyFields: JsonObject;
  /** Another process serves the workload certificate. */
  readonly externalSds: boolean;
}

type NodeSources = Omit<Sources, "node">;

/**
 * How the proxy presents itself. Source: Istio's agent, observed
 * @param podLabels undefined: no file of labels is mounted
 */
export function nodeIdentity(
  sources: NodeSources,
  podLabels: ReadonlyMap<string, string> | undefined,
  facts: NodeFacts,
): NodeIdentity {
  const { env, flags, role, proxy, input, annotations, findings } = sources;
  const name = env.string("POD_NAME");
  const namespace = env.string("POD_NAMESPACE");
  const domain = flags.domain === "" ? `${namespace}.svc.cluster.local` : flags.domain;
  const excludedInterfaces = (annotations.get("traffic.sidecar.istio.io/excludeInterfaces") ?? "").split(",");
  const ips = nodeIps(
    { instanceIp: env.string("INSTANCE_IP"), interfaces: input.system.interfaces, excludedInterfaces },
    findings,
  );
  const raw = collectMetadata(input.env, proxy.proxyMetadata ?? {}, findings);
  const platform = staticPlatform(sources);
  const labels = { ...raw.staticLabels, ...reportedPodLabels(podLabels) };
  const reportedLabels = withLocalityLabel({ ...raw.labels, ...labels });
  const computed = {
    ...computedMetadata(sources, raw, ips),
    LABELS: reportedLabels,
    // Without mounted labels, the reference's labels and static labels are one map.
    STATIC_LABELS: podLabels === undefined ? withLocalityLabel(raw.staticLabels) : raw.staticLabels,
    ANNOTATIONS: { ...objectOf(raw.values.get("ANNOTATIONS")?.value), ...Object.fromEntries(annotations) },
    PLATFORM_METADATA: platform?.metadata ?? {},
    PROXY_CONFIG: renderProxyConfig(facts.proxyFields),
  };
  const { typed, all } = renderMetadata(raw, computed, findings);
  return {
    id: `${role}~${ips[0] ?? ""}~${name}.${namespace}~${domain}`,
    cluster: clusterName({ config: proxy, labels, workloadName: textOf(typed["WORKLOAD_NAME"]), namespace }),
    locality: nodeLocality(reportedLabels, platform),
    metadata: { ...all, ...socketKeys(sources, facts) },
    typedMetadata: typed,
    ips,
    name,
    namespace,
    domain,
  };
}

function staticPlatform({ env, input }: NodeSources): StaticPlatform | undefined {
  const platform = env.string("CLOUD_PLATFORM").toLowerCase();
  if (platform === "none" || platform === "aws" || platform === "azure") return undefined;
  return staticGcpPlatform(env, input.system.searchDomains);
}

function nodeLocality(labels: Labels, platform: StaticPlatform | undefined): Locality {
  const label = localityLabel(labels);
  if (label !== "") return parseLocality(label);
  return platform?.locality ?? { region: "", zone: "", subZone: "" };
}

/** Without the hash of the ReplicaSet, which does not describe the workload. */
function reportedPodLabels(labels: ReadonlyMap<string, string> | undefined): Labels {
  return Object.fromEntries([...(labels ?? [])].filter(([name]) => name !== "pod-template-hash"));
}

/** The locality is reported with slashes under its older name, whatever the name it is given under. */
function withLocalityLabel(labels: Labels): Labels {
  const locality = localityLabel(labels);
  return locality === "" ? labels : { ...labels, "istio-locality": sanitizedLocality(locality) };
}

function computedMetadata(
  { env, flags, proxy, input, findings }: NodeSources,
  raw: RawMetadata,
  ips: readonly string[],
): Readonly<Record<string, JsonValue>> {
  const version = raw.values.get("ISTIO_VERSION")?.value;
  const shownBool = (value: boolean): string => (value ? "true" : "");
  const values: Record<string, JsonValue> = {
    NAME: env.string("POD_NAME"),
    NAMESPACE: env.string("POD_NAMESPACE"),
    SERVICE_ACCOUNT: env.string("SERVICE_ACCOUNT"),
    INSTANCE_IPS: ips.join(","),
    ISTIO_VERSION: typeof version === "string" && version !== "" ? version : input.system.istioVersion,
    ENVOY_STATUS_PORT: env.int("ENVOY_STATUS_PORT"),
    ENVOY_PROMETHEUS_PORT: env.int("ENVOY_PROMETHEUS_PORT"),
    ENVOY_SECURE_METRICS_PORT: env.int("ENVOY_SECURE_METRICS_PORT"),
    ENVOY_SECURE_MERGED_METRICS_PORT: env.int("ENVOY_SECURE_MERGED_METRICS_PORT"),
    EXIT_ON_ZERO_ACTIVE_CONNECTIONS: shownBool(env.bool("EXIT_ON_ZERO_ACTIVE_CONNECTIONS")),
    ENVOY_SKIP_DEPRECATED_LOGS: shownBool(env.bool("ENVOY_SKIP_DEPRECATED_LOGS")),
    METADATA_DISCOVERY: metadataDiscovery(input.env["PEER_METADATA_DISCOVERY"], raw, findings),
    WORKLOAD_IDENTITY_SOCKET_FILE: env.string("WORKLOAD_IDENTITY_SOCKET_FILE"),
  };
  if (flags.stsPort !== 0) values["STS_PORT"] = String(flags.stsPort);
  if (flags.outlierLogPath !== "") values["OUTLIER_LOG_PATH"] = flags.outlierLogPath;
  if (proxy.controlPlaneAuthPolicy === "MUTUAL_TLS") values["PILOT_SAN"] = [pilotSan(proxy.discoveryAddress)];
  return values;
}

/** As `ENABLE_HBONE` unless the variable is set. A value that is not a boolean, also an empty one, is false. */
function metadataDiscovery(variable: string | undefined, raw: RawMetadata, findings: Findings): string {
  if (variable === undefined) {
    const hbone = raw.values.get("ENABLE_HBONE")?.value;
    return parseBool(typeof hbone === "string" ? hbone : "") === true ? "true" : "false";
  }
  const given = parseBool(variable);
  if (given === undefined) {
    const shown = JSON.stringify(variable);
    findings.warn("PEER_METADATA_DISCOVERY", `${shown} is not a boolean (true or false); using false`);
  }
  return given === true ? "true" : "false";
}

/** The host of the control plane; an IPv6 address without its brackets. */
function pilotSan(address: string): string {
  const host = address.replace(/:\d*$/, "").replace(/^\[(.*)\]$/, "$1");
  return host === "localhost" || (ipFamily(host) === 0 && host === "") ? "istiod.istio-system.svc" : host;
}

/** Keys that are present only when another process serves the socket. */
function socketKeys({ input }: NodeSources, { externalSds }: NodeFacts): JsonObject {
  const keys: Record<string, JsonValue> = {};
  if (input.system.servedSockets.has(places.credentialSocket)) keys["credential"] = "true";
  if (externalSds) keys["file-credential"] = "true";
  return keys;
}

export type Labels = Readonly<Record<string, string>>;

/** The label that holds the locality, if any: the newer one wins even when it is empty. */
export function localityLabel(labels: Labels): string {
  return labels["topology.istio.io/locality"] ?? labels["istio-locality"] ?? "";
}

/** A locality with slashes. Labels of Kubernetes cannot contain slashes, so that dots are used instead. */
export function sanitizedLocality(text: string): string {
  return text.includes("/") ? text : text.replaceAll(".", "/");
}

/** Parses `region/zone/subzone`; further parts are ignored. */
export function parseLocality(text: string): Locality {
  const [region = "", zone = "", subZone = ""] = sanitizedLocality(text).split("/");
  return { region, zone, subZone };
}

export interface ClusterNameInput {
  readonly config: Pick<ProxyConfig, "serviceCluster" | "tracingServiceName">;
  readonly labels: Labels;
  readonly workloadName: string;
  readonly namespace: string;
}

/**
 * Envoy's `node.cluster`, which tracers show as the service's name. Never empty: Envoy rejects an empty one.
 * Source: Istio's agent, observed for every combination of labels
 */
export function clusterName({ config, labels, workloadName, namespace }: ClusterNameInput): string {
  const { serviceCluster = "", tracingServiceName } = config;
  const proxy = "istio-proxy";
  const canonicalLabel = labels["service.istio.io/canonical-name"];
  const nameLabel = labels["app.kubernetes.io/name"];
  const app = labels["app"] ?? nameLabel ?? canonicalLabel;
  const workload = workloadName === "" ? proxy : workloadName;
  const fallback = namespace === "" ? (app ?? workload) || proxy : `${app ?? workload}.${namespace}`;
  if (tracingServiceName === undefined || tracingServiceName === "APP_LABEL_AND_NAMESPACE") {
    return serviceCluster === "" || serviceCluster === proxy ? fallback : serviceCluster;
  }
  const canonical = canonicalLabel ?? nameLabel ?? labels["app"] ?? workload;
  if (canonical === proxy) return fallback;
  const isAlone = tracingServiceName === "CANONICAL_NAME_ONLY" || namespace === "";
  return isAlone ? canonical || fallback : `${canonical}.${namespace}`;
}
