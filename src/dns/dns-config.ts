// SPDX-License-Identifier: Apache-2.0

/** The DNS proxy: where it listens, whose short names it knows, and how it forwards other queries. */
export interface DnsConfig {
  readonly listen: DnsAddress;
  readonly domain: ProxyDomain;
  readonly forward: DnsForwardConfig;
  /**
   * Address queries before the first name table: `wait` holds them for a while; `forward` sends them to the resolvers,
   * for an agent whose own queries come through this proxy.
   */
  readonly beforeTable: "wait" | "forward";
}

export interface DnsAddress {
  /** `localhost` is the loopback address of each family that a resolver has. */
  readonly host: string;
  readonly port: number;
}

/** The domain whose names have short forms. */
export interface ProxyDomain {
  readonly namespace: string;
  /** Without the namespace and without dots around it: `svc.cluster.local`. */
  readonly domain: string;
}

export interface DnsForwardConfig {
  /** Paths of resolv.conf; the first that exists is read. */
  readonly resolvConfPaths: readonly string[];
  /** Queries all resolvers at once. */
  readonly parallel: boolean;
  /** For one query, all attempts together. */
  readonly timeoutMs: number;
}
