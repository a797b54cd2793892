// SPDX-License-Identifier: Apache-2.0
import type { BackoffPolicy } from "../lib/async/backoff.ts";
import type { HostPort } from "../lib/net/host-port.ts";
import type { TlsClientConfig } from "../lib/net/tls-client.ts";
import type { WorkloadCheck } from "../model/workload-check.ts";

/** The ADS proxy between Envoy and the control plane. */
export interface XdsConfig {
  /** The agent's own socket, which Envoy connects to. */
  readonly socketPath: string;
  readonly socketMode: number;
  readonly upstream: XdsUpstream;
  /** A longer request from Envoy ends its stream. */
  readonly maxReceiveBytes: number | undefined;
  readonly maxStreams: number;
  /** HTTP/2 pings, to Envoy and to the control plane. */
  readonly keepalive: { readonly intervalMs: number; readonly timeoutMs: number };
  /** Undefined keeps no responses. */
  readonly cache: XdsCacheConfig | undefined;
}

export interface XdsUpstream {
  /** Tried in this order; never empty. */
  readonly addresses: readonly HostPort[];
  readonly security: XdsSecurity;
  /** The `:authority` of plaintext requests; with TLS it is the server name of `security`. */
  readonly authority: string;
  /** Sent as `authorization: Bearer …`, read for each stream; undefined sends none. */
  readonly tokenPath: string | undefined;
  /** Sent as `clusterid`, also when empty. */
  readonly clusterId: string;
  /** More request metadata, names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** `HTTPS_PROXY`, unless `NO_PROXY` excepts the address; undefined connects directly. */
  readonly httpProxy: HttpProxyAddress | undefined;
  /** For name resolution, TCP, TLS and HTTP/2 together, for each address. */
  readonly connectTimeoutMs: number;
  /** Between two rounds of addresses; after a minute without success the delays grow to `idleMaxMs`. */
  readonly backoff: BackoffPolicy & { readonly idleMaxMs: number };
}

export interface HttpProxyAddress extends HostPort {
  /** The value of `proxy-authorization`. */
  readonly authorization: string | undefined;
}

export type XdsSecurity = { readonly kind: "plaintext" } | ({ readonly kind: "tls" } & TlsClientConfig);

/** Responses that Envoy has accepted, kept on disk for a start without a control plane. */
export interface XdsCacheConfig {
  readonly directory: string;
  /** Serves from the cache when the control plane has not responded for so long. */
  readonly serveAfterMs: number;
  /** An older cache is not used. */
  readonly maxAgeMs: number;
}

/** When the workload is checked, and how many results count, for a control plane that registers it. */
export interface HealthCheckConfig extends WorkloadCheck {
  readonly initialDelayMs: number;
  readonly periodMs: number;
  /** Equal results in a row that make a change. */
  readonly successThreshold: number;
  readonly failureThreshold: number;
}

/** How the modules of Wasm extensions are fetched and kept. */
export interface WasmConfig {
  /** Created when it is missing. */
  readonly cacheDirectory: string;
  /** For one HTTP request. */
  readonly requestTimeoutMs: number;
  /** For one module; 1 does not retry. */
  readonly maxAttempts: number;
  /** The size of the budget `wasm-module-bytes`. */
  readonly maxModuleBytes: number;
  /** `host` or `host:port`, or `*` for all: their certificates are not verified, and plain HTTP is allowed for OCI. */
  readonly insecureRegistries: ReadonlySet<string>;
  /** Never connected to, beside link-local addresses and the clouds' metadata servers. */
  readonly blockedCidrs: readonly string[];
  readonly proxies: WasmProxies;
  /** Modules that were not used for so long are deleted. */
  readonly expiryMs: number;
  readonly purgeEveryMs: number;
}

/** Proxies for outgoing requests, by the names of their environment variables. */
export interface WasmProxies {
  readonly HTTP_PROXY?: string;
  readonly HTTPS_PROXY?: string;
  readonly NO_PROXY?: string;
}
