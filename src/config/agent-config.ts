// SPDX-License-Identifier: Apache-2.0
import type { BootstrapConfig } from "../bootstrap/bootstrap-config.ts";
import type { CaConfig, CloudTokenConfig } from "../ca/types.ts";
import type { CertConfig } from "../cert/types.ts";
import type { DnsConfig } from "../dns/dns-config.ts";
import type { EnvoyConfig } from "../envoy/envoy-config.ts";
import type { HostConfig } from "../host/host.ts";
import type { LogLevels } from "../lib/log/log.ts";
import type { JsonObject } from "../lib/json.ts";
import type { NodeIdentity, ProxyRole } from "../model/node.ts";
import type { PlatformConfig } from "../platform/platform.ts";
import type { CrashReportConfig } from "../recorder/crash-report.ts";
import type { SdsConfig } from "../sds/types.ts";
import type { StatusConfig } from "../status/status-config.ts";
import type { HealthCheckConfig, WasmConfig, XdsConfig } from "../xds/xds-config.ts";

/** The complete configuration of `attache proxy`. It does not change while the agent runs. */
export interface AgentConfig {
  readonly role: ProxyRole;
  readonly node: NodeIdentity;
  readonly log: LogConfig;
  /** What Envoy starts from. */
  readonly bootstrap: BootstrapSource;
  readonly grpcBootstrap: GrpcBootstrapConfig | undefined;
  readonly envoy: EnvoyConfig;
  /** True: no bootstrap and no Envoy; the agent waits for its signal. */
  readonly disableEnvoy: boolean;
  readonly identity: IdentitySource;
  readonly ca: CaConfig;
  readonly cert: CertConfig;
  readonly certFiles: CertFilesConfig;
  readonly sds: SdsConfig;
  readonly status: StatusConfig;
  readonly xds: DiscoverySource;
  /** Undefined: no DNS proxy. */
  readonly dns: DnsConfig | undefined;
  readonly platform: PlatformConfig;
  readonly host: HostConfig;
  readonly recorder: CrashReportConfig;
  /** The shutdown waits until no connection is open, instead of for a period. */
  readonly exitOnZeroActiveConnections: boolean;
  /** The effective ProxyConfig without secrets, for the log. */
  readonly proxyConfig: JsonObject;
  /** Logged in this order, as soon as there is a log. */
  readonly warnings: readonly ConfigWarning[];
}

export interface ConfigWarning {
  /** The flag, variable, annotation or file. */
  readonly source: string;
  readonly message: string;
}

export interface LogConfig {
  readonly format: "text" | "json";
  readonly levels: LogLevels;
  /** Paths, or `stdout` and `stderr`. */
  readonly targets: readonly string[];
}

/** A document that the agent renders or merges, or a file that Envoy reads unchanged. */
export type BootstrapSource =
  | {
      readonly kind: "generated";
      readonly path: string;
      readonly config: BootstrapConfig;
      /** Merged over the document; may have secrets. */
      readonly override: JsonObject | undefined;
    }
  /** The document of a custom file with an override: written to a file of its own, not to be on Envoy's command line. */
  | {
      readonly kind: "merged";
      readonly path: string;
      readonly customPath: string;
      readonly custom: JsonObject;
      /** May have secrets. */
      readonly override: JsonObject;
    }
  | { readonly kind: "file"; readonly path: string };

export interface GrpcBootstrapConfig {
  readonly path: string;
  readonly mode: number;
  readonly document: JsonObject;
}

/** Where the workload certificate comes from. */
export type IdentitySource =
  | { readonly kind: "ca" }
  /** Another process serves Envoy's certificate on the workload socket. */
  | { readonly kind: "external-sds"; readonly socketPath: string }
  | {
      readonly kind: "mounted-files";
      readonly chainPath: string;
      readonly keyPath: string;
      readonly rootsPath: string;
    }
  | {
      readonly kind: "workload-api";
      readonly endpoint: WorkloadApiEndpoint;
      /** The identity to use; undefined uses the first. */
      readonly spiffeId: string | undefined;
      readonly hint: string | undefined;
      /** Trust domains whose bundles are also used. */
      readonly federatesWith: readonly string[];
    };

/** Where the SPIFFE Workload API is. */
export type WorkloadApiEndpoint =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "tcp"; readonly host: string; readonly port: number };

export interface CertFilesConfig {
  /** The first delay when mounted files cannot be parsed yet. */
  readonly debounceMs: number;
  /** The mesh file, whose trust anchors are followed; undefined without one. */
  readonly meshFile: string | undefined;
}

/** Where Envoy's listeners and clusters come from. */
export type DiscoverySource =
  | {
      readonly kind: "ads";
      readonly proxy: XdsConfig;
      /** Between Envoy and the agent. */
      readonly delta: boolean;
      /** How Wasm modules are fetched for Envoy; undefined leaves it to Envoy. */
      readonly wasm: WasmConfig | undefined;
      /** Health checks of the workload, reported to the control plane; undefined: none. */
      readonly healthCheck: HealthCheckConfig | undefined;
      /** Also requests ProxyConfig, for its trust roots. */
      readonly proxyConfigOverXds: boolean;
      /** The token for the control plane; undefined: that of the token file, if any. */
      readonly cloudToken: CloudTokenConfig | undefined;
    }
  | { readonly kind: "files"; readonly directory: string };
