// SPDX-License-Identifier: Apache-2.0

/** A version of IP. IPv4 always has rules; IPv6 has them if the namespace uses it. */
export type IpFamily = (typeof ipFamilies)[number];
export const ipFamilies = ["ipv4", "ipv6"] as const;
/** As messages name them. */
export const familyNames: Readonly<Record<IpFamily, string>> = { ipv4: "IPv4", ipv6: "IPv6" };

/** An address range. */
export interface Cidr {
  readonly family: IpFamily;
  /** ADDRESS/LENGTH, the address in its one spelling; bits behind the prefix are kept, as in `127.0.0.1/8`. */
  readonly text: string;
}

/** Ports from `first` to `last`, both included; one port if they are equal. 0 to 65535. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** A DNS server that applications use, from resolv.conf. */
export interface NameServer {
  readonly family: IpFamily;
  /** Without a zone. */
  readonly address: string;
}

/**
 * What is captured, complete and checked: the rules follow from it alone. Every port is one from 1 to 65535, every uid
 * and gid from 0 to 4294967294; names of users and groups are already numbers.
 */
export interface CaptureOptions {
  /** In the order ipv4, ipv6. */
  readonly families: readonly IpFamily[];
  /** How inbound connections reach Envoy. Outbound ones are always redirected. */
  readonly mode: CaptureMode;
  /** Envoy's port for outbound connections. */
  readonly outboundPort: number;
  /** Envoy's port for inbound connections. */
  readonly inboundPort: number;
  /** Envoy's port for tunnelled inbound connections (HBONE), which are not captured. */
  readonly tunnelPort: number;
  /** Whose packets are Envoy's and the agent's own. Neither list is empty. */
  readonly proxyUids: readonly number[];
  readonly proxyGids: readonly number[];
  readonly inbound: InboundCapture;
  readonly outbound: OutboundCapture;
  /** Whose outbound packets are captured, by the group of the sending process. */
  readonly ownerGroups: OwnerGroups;
  /** Interfaces without any capture, inbound or outbound. A name that ends with `+` stands for all that begin so. */
  readonly excludedInterfaces: readonly string[];
  /** Interfaces of virtual machines: what arrives on them is outbound. Names as above. */
  readonly virtualInterfaces: readonly string[];
  readonly dns: DnsCapture;
  /** Drops inbound packets that connection tracking calls invalid. */
  readonly dropInvalid: boolean;
  /** Addresses that applications use for themselves; connections to them are not outbound. For IPv6 it is `::1/128`. */
  readonly ipv4Loopback: Cidr;
}

export type CaptureMode =
  | { readonly kind: "redirect" }
  /** Keeps the source address: packets get `mark`, and a policy rule sends them to `routeTable`. */
  | { readonly kind: "tproxy"; readonly mark: number; readonly routeTable: number };

export type InboundCapture =
  | { readonly kind: "none" }
  | { readonly kind: "all"; readonly excludedPorts: readonly PortRange[] }
  | { readonly kind: "ports"; readonly ports: readonly PortRange[] };

export interface OutboundCapture {
  readonly destinations: { readonly kind: "all" } | { readonly kind: "cidrs"; readonly cidrs: readonly Cidr[] };
  readonly excludedCidrs: readonly Cidr[];
  /** Captured for each destination that is not excluded. */
  readonly ports: readonly PortRange[];
  readonly excludedPorts: readonly PortRange[];
}

export type OwnerGroups =
  | { readonly kind: "all"; readonly excludedGids: readonly number[] }
  | { readonly kind: "only"; readonly gids: readonly number[] };

/** Which DNS queries (port 53, UDP and TCP) go to the DNS proxy on `port`. */
export type DnsCapture =
  | { readonly kind: "none" }
  | { readonly kind: "all"; readonly port: number }
  | { readonly kind: "servers"; readonly port: number; readonly servers: readonly NameServer[] };

/** What is done with the rules. */
export interface RunOptions {
  readonly backend: Backend;
  /** Prints what would be applied; the kernel is neither read nor changed. */
  readonly dryRun: boolean;
  /** File that a dry run replaces by the commands and the rules; undefined for none. */
  readonly dryRunFile: string | undefined;
  /** Prints what the rules mean instead of applying them. */
  readonly explain: boolean;
  readonly skipRuleApply: boolean;
  readonly runValidation: boolean;
  /** Replaces rules of other options. */
  readonly reconcile: boolean;
  readonly cleanupOnly: boolean;
  /** Applies although nothing has changed. */
  readonly forceApply: boolean;
  /** The programs run on behalf of Istio's CNI plugin: own mount namespace and lock. */
  readonly cniMode: boolean;
  /** Path of the pod's network namespace, for locks; undefined for none. It is not entered. */
  readonly networkNamespace: string | undefined;
  /** Whether both families are captured, if it was said; undefined: it follows from the addresses. */
  readonly dualStack: boolean | undefined;
  /** Destination port of the validation's connection. */
  readonly probePort: number;
  readonly probeTimeoutMs: number;
}

/** iptables without `binary`: the existing rules decide, else the first that works. */
export type Backend =
  | { readonly kind: "iptables"; readonly binary: "legacy" | "nft" | undefined }
  | { readonly kind: "nftables" };

export interface InterceptionOptions {
  readonly capture: CaptureOptions;
  readonly run: RunOptions;
}
