// SPDX-License-Identifier: Apache-2.0

/** How modules of Wasm extensions are fetched and kept. */
export interface WasmConfig {
  /** Made when it is missing. */
  readonly cacheDirectory: string;
  /** For one HTTP request. */
  readonly requestTimeoutMs: number;
  /** For one module, repetitions included; 1 repeats nothing. */
  readonly maxAttempts: number;
  /** A larger module is refused. */
  readonly maxModuleBytes: number;
  /** `host` or `host:port`, or `*` for all: certificates of these are not verified, and plain HTTP is allowed for OCI. */
  readonly insecureRegistries: ReadonlySet<string>;
  /** Never connected to, on top of link-local addresses and clouds' metadata servers. */
  readonly blockedCidrs: readonly string[];
  /** Modules are asked for through these, where they do not except the host. */
  readonly proxies: WasmProxies;
  /** Modules untouched for so long are deleted. */
  readonly expiryMs: number;
  readonly purgeEveryMs: number;
}

/** Proxies for outgoing requests, under the names that environments give them. */
export interface WasmProxies {
  readonly HTTP_PROXY?: string;
  readonly HTTPS_PROXY?: string;
  readonly NO_PROXY?: string;
}
