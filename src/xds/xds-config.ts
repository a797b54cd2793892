// SPDX-License-Identifier: Apache-2.0
import type { BackoffPolicy } from "../lib/async/backoff.ts";
import type { HostPort } from "../lib/net/host-port.ts";
import type { TlsClientConfig } from "../lib/net/tls-client.ts";

/** Envoy's ADS streams, and the control plane that they are passed to. */
export interface XdsConfig {
  /** The agent's own socket, that Envoy talks to. */
  readonly socketPath: string;
  readonly socketMode: number;
  readonly upstream: XdsUpstream;
  /** A longer request from Envoy ends its stream. */
  readonly maxReceiveBytes: number;
  readonly maxStreams: number;
  /** Pings, towards Envoy and towards the control plane. */
  readonly keepalive: { readonly intervalMs: number; readonly timeoutMs: number };
  /** Undefined keeps nothing. */
  readonly cache: XdsCacheConfig | undefined;
}

export interface XdsUpstream {
  /** Tried in this order; never empty. */
  readonly addresses: readonly HostPort[];
  readonly security: XdsSecurity;
  /** For `:authority`; with TLS it is the security's server name that counts. */
  readonly authority: string;
  /** Sent as `authorization: Bearer …`, read anew for each stream; undefined sends none. */
  readonly tokenPath: string | undefined;
  /** Sent as `clusterid`, also when empty. */
  readonly clusterId: string;
  /** More request metadata, names in lower case. */
  readonly headers: Readonly<Record<string, string>>;
  /** `HTTPS_PROXY`, where `NO_PROXY` does not except the address; undefined connects directly. */
  readonly httpProxy: HttpProxyAddress | undefined;
  /** For name, TCP, TLS and HTTP/2 together, for each address. */
  readonly connectTimeoutMs: number;
  /** Between two rounds of tries; after a minute without success the waits grow to `idleMaxMs`. */
  readonly backoff: BackoffPolicy & { readonly idleMaxMs: number };
}

export interface HttpProxyAddress extends HostPort {
  /** The value of `proxy-authorization`. */
  readonly authorization: string | undefined;
}

export type XdsSecurity = { readonly kind: "plaintext" } | ({ readonly kind: "tls" } & TlsClientConfig);

/** What Envoy has accepted, kept for a start without a control plane. */
export interface XdsCacheConfig {
  readonly directory: string;
  /** Serves from the cache when the control plane has not answered for so long. */
  readonly serveAfterMs: number;
  /** An older cache is not used. */
  readonly maxAgeMs: number;
}
