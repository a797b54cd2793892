// SPDX-License-Identifier: Apache-2.0
import type { Cidr, IpFamily, PortRange } from "./options.ts";

/** In the order in which their rules are written for iptables. nftables has a table of its own for each. */
export type TableName = "mangle" | "nat" | "raw";

/** A chain of the kernel that has foreign rules too, at least with iptables. */
export type BuiltInChain = "prerouting" | "output";

/**
 * A chain of ours. iptables writes it in upper case with `_` (`ISTIO_INBOUND`), nftables as it is. Whatever has such a
 * name, in any table, is ours, also when the current options do not ask for it.
 */
export type OwnChain = (typeof ownChains)[number];

/** In the order in which nftables lists them. */
export const ownChains = [
  "istio-divert",
  "istio-tproxy",
  "istio-inbound",
  "istio-redirect",
  "istio-in-redirect",
  "istio-output",
  "istio-output-dns",
  "istio-drop",
] as const;

/** One rule: packets that fit every part of `match` get `action`. An absent part fits each packet. */
export interface Rule {
  readonly table: TableName;
  readonly chain: BuiltInChain | OwnChain;
  /** The families that have this rule. A rule with an address is of that address' family only. */
  readonly family: IpFamily | "both";
  /** Position in the chain at the time of adding, from 1 on, before what is there; undefined: at its end. */
  readonly insertAt?: number;
  readonly match: Match;
  readonly action: Action;
}

/** Its conditions stand in a rule's text in the order in which they are given here. */
export interface Match {
  /** Interface names as in the options: a final `+` stands for any rest. Only in prerouting and what it jumps to. */
  readonly inInterface?: string;
  /** Only in output and what it jumps to. */
  readonly outInterface?: string;
  readonly protocol?: "tcp" | "udp";
  readonly source?: Cidr;
  readonly destination?: Cidr & { readonly negated?: true };
  /** With `protocol`, as the destination. */
  readonly sourcePort?: number;
  /** Any of the ranges, or none of them if negated. Never empty. */
  readonly destinationPorts?: { readonly ranges: readonly PortRange[]; readonly negated?: true };
  /** State of connection tracking: any of them. */
  readonly states?: readonly ("invalid" | "related" | "established")[];
  /**
   * User and group of the sending process: all of them have to fit, so that several are negated. Only in output and what
   * it jumps to.
   */
  readonly owners?: readonly Owner[];
  readonly mark?: { readonly value: number; readonly negated?: true };
  readonly connectionMark?: number;
}

export interface Owner {
  readonly kind: "uid" | "gid";
  readonly id: number;
  readonly negated?: true;
}

export type Action =
  | { readonly kind: "accept" | "drop" | "return" }
  | { readonly kind: "jump"; readonly chain: OwnChain }
  /** To this port of the machine itself. */
  | { readonly kind: "redirect"; readonly port: number }
  /** To the socket that listens on the port, addresses unchanged; the packet gets the mark, and is accepted. */
  | { readonly kind: "tproxy"; readonly port: number; readonly mark: number }
  | { readonly kind: "set-mark"; readonly mark: number }
  /** The packet's mark becomes the connection's, or the other way round. */
  | { readonly kind: "save-mark" | "restore-mark" }
  /** Zone of connection tracking. */
  | { readonly kind: "set-zone"; readonly zone: number };

/** Packets with the mark are delivered to this machine: a policy rule, and one route in its table. */
export interface PolicyRoute {
  readonly family: IpFamily;
  /** `ip rule add fwmark MARK lookup TABLE` */
  readonly mark: number;
  /** `ip route add local default dev lo table TABLE` */
  readonly table: number;
}

/** Everything that the kernel gets. Made from `CaptureOptions` by `buildRuleSet`, without any other input. */
export interface RuleSet {
  /** In the order ipv4, ipv6. */
  readonly families: readonly IpFamily[];
  /** In the order in which they are added. The order counts within a chain only. */
  readonly rules: readonly Rule[];
  /** None unless in TPROXY mode with inbound capture. */
  readonly routes: readonly PolicyRoute[];
  /** Addresses that `lo` gets in addition, with length: `::6/128`, the source of Envoy's inbound connections. */
  readonly loopbackAddresses: readonly string[];
}
