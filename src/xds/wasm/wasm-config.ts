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
  /** Modules untouched for so long are deleted. */
  readonly expiryMs: number;
  readonly purgeEveryMs: number;
}
