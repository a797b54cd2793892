// SPDX-License-Identifier: Apache-2.0

/** The DNS proxy: where it answers, how it knows the mesh's names, and whom it asks for the others. */
export interface DnsConfig {
  readonly listen: DnsAddress;
  readonly domain: ProxyDomain;
  readonly forward: DnsForwardConfig;
  /**
   * What becomes of questions for addresses before the first name table: `wait` holds them for a while, `forward` asks
   * the resolvers, for an agent whose own questions come through here.
   */
  readonly beforeTable: "wait" | "forward";
}

export interface DnsAddress {
  /** `localhost` is the loopback address of each family that a resolver has. */
  readonly host: string;
  readonly port: number;
}

/** Whose names have short forms. */
export interface ProxyDomain {
  readonly namespace: string;
  /** Without the namespace, without dots around it: `svc.cluster.local`. */
  readonly domain: string;
}

export interface DnsForwardConfig {
  /** The files that name the resolvers; the first that is there counts. */
  readonly resolvConfPaths: readonly string[];
  /** Asks all resolvers at once. */
  readonly parallel: boolean;
  /** For the whole of a question, all tries together. */
  readonly timeoutMs: number;
}
