// SPDX-License-Identifier: Apache-2.0
import type { JsonObject, JsonValue } from "../lib/json.ts";
import type { HostPort } from "../lib/net/host-port.ts";
import type { EnvoyAdminAddress } from "../model/bootstrap-facts.ts";
import type { NodeIdentity } from "../model/node.ts";

/** The inputs of the bootstrap. Ports are 1 to 65535, or 0 for none. */
export interface BootstrapConfig {
  readonly node: Pick<NodeIdentity, "id" | "cluster" | "locality" | "metadata" | "ips">;
  readonly logAsJson: boolean;
  readonly addresses: BootstrapAddresses;
  /** Also where Envoy's metrics are read from. */
  readonly admin: EnvoyAdminAddress;
  readonly ports: BootstrapPorts;
  readonly discovery: BootstrapDiscovery;
  readonly sds: BootstrapSds;
  readonly metadataDiscovery: boolean;
  readonly runtime: Readonly<Record<string, JsonValue>>;
  readonly stats: BootstrapStats;
  readonly statusProxyProtocol: boolean;
  readonly downstreamConnectionLimit: number;
  readonly clusterManager: BootstrapClusterManager;
  readonly selfDiscovery: boolean;
  readonly tracer: TracerConfig | undefined;
  readonly metricsService: RemoteServiceConfig | undefined;
  readonly accessLogService: RemoteServiceConfig | undefined;
  readonly statsdAddress: HostPort | undefined;
}

/** The addresses of Envoy's own listeners. Source: Istio's agent, by the pod's addresses and the dual stack setting */
export interface BootstrapAddresses {
  readonly local: string;
  readonly wildcard: string;
  /** The other family's, when the pod has addresses of both. */
  readonly additional: { readonly local: string; readonly wildcard: string } | undefined;
  readonly dnsLookupFamily: "V4_ONLY" | "V6_ONLY" | "ALL";
}

export interface BootstrapPorts {
  /** The agent's status server. */
  readonly agentStatus: number;
  /** Envoy's readiness listener. */
  readonly status: number;
  readonly prometheus: number;
  readonly secureMetrics: number;
  readonly secureMergedMetrics: number;
}

export type BootstrapDiscovery =
  | { readonly kind: "ads"; readonly socketPath: string; readonly apiType: "DELTA_GRPC" | "GRPC" }
  | { readonly kind: "files"; readonly directory: string };

export interface BootstrapSds {
  readonly socketPath: string;
  /** The agent's socket for file secrets, when another process serves the workload certificate. */
  readonly filesSocketPath: string | undefined;
}

export interface BootstrapStats {
  /** Undefined leaves Envoy's own. */
  readonly flushIntervalMs: number | undefined;
  readonly evictionIntervalMs: number | undefined;
  readonly extraTags: readonly string[];
  readonly inclusion: {
    readonly prefixes: readonly string[];
    readonly suffixes: readonly string[];
    readonly regexes: readonly string[];
  };
  readonly histogramBuckets: Readonly<Record<string, readonly number[]>>;
  readonly compression: boolean;
  /** Metrics are served only on loopback. */
  readonly localhostOnly: boolean;
  readonly countActiveConnections: boolean;
}

export interface BootstrapClusterManager {
  readonly outlierLogPath: string | undefined;
  readonly loadStatsConfig: JsonObject | undefined;
}

export type TracerConfig =
  | { readonly kind: "zipkin"; readonly address: HostPort; readonly tls: ClientTls | undefined }
  | { readonly kind: "datadog"; readonly address: HostPort; readonly tls: ClientTls | undefined }
  | { readonly kind: "openTelemetry"; readonly address: HostPort; readonly tls: ClientTls | undefined }
  | {
      readonly kind: "lightstep";
      readonly address: HostPort;
      readonly tls: ClientTls | undefined;
      /** Written by the agent with mode 0600; the token itself is never part of the document. */
      readonly accessTokenPath: string;
      readonly accessToken: string;
    };

export interface RemoteServiceConfig {
  readonly address: HostPort;
  readonly tls: ClientTls | undefined;
  readonly keepalive: KeepaliveConfig | undefined;
}

export interface KeepaliveConfig {
  /** 0 leaves the system's. */
  readonly probes: number;
  readonly timeSeconds: number;
  readonly intervalSeconds: number;
}

/** TLS of a connection that Envoy makes to a service of the bootstrap. */
export interface ClientTls {
  readonly mode: "SIMPLE" | "MUTUAL" | "ISTIO_MUTUAL";
  /** Empty: none is sent. */
  readonly sni: string;
  readonly subjectAltNames: readonly string[];
  readonly caPath: string;
  readonly chainPath: string;
  readonly keyPath: string;
}
