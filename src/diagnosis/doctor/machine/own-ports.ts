// SPDX-License-Identifier: Apache-2.0
import { renderMergedBootstrap, staticAddresses } from "../../../bootstrap/index.ts";
import type { AgentConfig } from "../../../config/index.ts";
import type { WantedAddress } from "../../../envoy/index.ts";
import { objectsOf, parseJsonObject, tryParseJson, isJsonList, objectOf } from "../../../lib/json.ts";

/** A TCP port on which the agent or Envoy listens. */
export interface OwnPort {
  readonly port: number;
  readonly owner: "agent" | "envoy";
  readonly what: string;
  /** What moves it; empty if nothing does. */
  readonly setting: string;
  readonly addresses: readonly WantedAddress[];
  /** Whether it appears with what the control plane sends. */
  readonly isDynamic: boolean;
  /** Whether its server listens over UDP as well. */
  readonly isUdpToo: boolean;
}

const wildcards = ["0.0.0.0", "::"] as const;

/** The ports of this configuration. Those of the control plane's listeners are listed if traffic is captured. */
export function ownPorts(config: AgentConfig, env: Readonly<Record<string, string>>): readonly OwnPort[] {
  return [...agentPorts(config), ...(config.disableEnvoy ? [] : [...bootstrapPorts(config), ...capturePorts(env)])];
}

function agentPorts({ status, dns }: AgentConfig): readonly OwnPort[] {
  const ports: OwnPort[] = [];
  const common = { owner: "agent", isDynamic: false, isUdpToo: false } as const;
  if (status.port !== 0)
    ports.push({
      ...common,
      ...portOf(status.port, wildcards),
      what: "the agent's status port",
      setting: "statusPort in PROXY_CONFIG",
    });
  if (dns !== undefined) {
    const { host, port } = dns.listen;
    const listened = host === "localhost" ? "127.0.0.1" : host;
    ports.push({
      ...common,
      ...portOf(port, [listened]),
      what: "the DNS proxy",
      setting: "DNS_PROXY_ADDR",
      isUdpToo: true,
    });
  }
  return ports;
}

function portOf(port: number, hosts: readonly string[]): Pick<OwnPort, "port" | "addresses"> {
  return { port, addresses: hosts.map((host) => ({ host, port, setting: "" })) };
}

/** A file that Envoy reads unchanged is not known. A port that is configured twice is listed twice. */
function bootstrapPorts(config: AgentConfig): readonly OwnPort[] {
  const document = renderMergedBootstrap(config.bootstrap);
  if (document === undefined) return [];
  const { listeners, admin } = staticAddresses(document);
  const known = namedPorts(config);
  const others = listeners.map(({ port }) => port).filter((port) => !known.some((one) => one.port === port));
  const common = { owner: "envoy", isDynamic: false, isUdpToo: false } as const;
  const hostsOf = (port: number): readonly string[] =>
    listeners.filter((listener) => listener.port === port).map(({ host }) => host);
  const ports = [
    ...known.filter(({ port }) => hostsOf(port).length > 0),
    ...[...new Set(others)].map((port) => ({ port, what: "a listener of the bootstrap", setting: "" })),
  ].map(({ port, ...rest }): OwnPort => ({ ...common, ...portOf(port, hostsOf(port)), ...rest }));
  if (admin === undefined) return ports;
  const setting = "proxyAdminPort in PROXY_CONFIG";
  return [...ports, { ...common, ...portOf(admin.port, [admin.host]), what: "Envoy's admin interface", setting }];
}

type NamedPort = Pick<OwnPort, "port" | "what" | "setting">;

function namedPorts({ bootstrap }: AgentConfig): readonly NamedPort[] {
  if (bootstrap.kind !== "generated") return [];
  const { status, prometheus, secureMetrics, secureMergedMetrics } = bootstrap.config.ports;
  return [
    { port: prometheus, what: "Envoy's metrics", setting: "ENVOY_PROMETHEUS_PORT" },
    { port: status, what: "Envoy's readiness", setting: "ENVOY_STATUS_PORT" },
    { port: secureMetrics, what: "Envoy's metrics over TLS", setting: "ENVOY_SECURE_METRICS_PORT" },
    { port: secureMergedMetrics, what: "Envoy's merged metrics over TLS", setting: "ENVOY_SECURE_MERGED_METRICS_PORT" },
  ].filter(({ port }) => port !== 0);
}

/** Where Istio's control plane has Envoy listen for captured traffic. Source: Istio, ports used by a sidecar */
export const outboundPort = 15_001;
export const inboundPort = 15_006;

function capturePorts(env: Readonly<Record<string, string>>): readonly OwnPort[] {
  const mode = env["ISTIO_META_INTERCEPTION_MODE"] ?? "";
  if (mode !== "REDIRECT" && mode !== "TPROXY") return [];
  const named = [
    [outboundPort, "Envoy's outbound traffic"],
    [inboundPort, "Envoy's inbound traffic"],
  ] as const;
  return named.map(([port, what]) => ({
    ...portOf(port, wildcards),
    owner: "envoy",
    what,
    setting: "",
    isDynamic: true,
    isUdpToo: false,
  }));
}

/** A port of the application, and what names it. */
export interface ApplicationPort {
  readonly port: number;
  readonly source: string;
}

/** The ports that the injector writes into the agent's environment: of containers, and of the application's probes. */
export function applicationPorts(env: Readonly<Record<string, string>>): readonly ApplicationPort[] {
  const declared = tryParseJson(env["ISTIO_META_POD_PORTS"] ?? "");
  const ports = objectsOf(declared !== undefined && isJsonList(declared) ? declared : []).map(
    (port) => port["containerPort"],
  );
  const probers = Object.values(parseJsonObject(env["ISTIO_KUBE_APP_PROBERS"] ?? "") ?? {}).flatMap((prober) =>
    ["httpGet", "tcpSocket", "grpc"].map((kind) => objectOf(objectOf(prober)[kind])["port"]),
  );
  return [
    ...numbers(ports).map((port) => ({ port, source: "ISTIO_META_POD_PORTS" })),
    ...numbers(probers).map((port) => ({ port, source: "ISTIO_KUBE_APP_PROBERS" })),
  ];
}

function numbers(values: readonly unknown[]): readonly number[] {
  return [...new Set(values.filter((value) => typeof value === "number"))];
}
