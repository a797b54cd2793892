// SPDX-License-Identifier: Apache-2.0
import { lookup as lookupName, type LookupAddress } from "node:dns";
import { BlockList, type LookupFunction } from "node:net";
import { canonicalIp, formatIp, ipBytes, ipFamily } from "../../lib/net/ip-address.ts";

/**
 * Link-local and multicast addresses, and the metadata servers of clouds.
 * Source: what Istio's agent blocks, as observed with 1.31
 */
const alwaysBlocked = [
  "169.254.0.0/16",
  "fe80::/10",
  "224.0.0.0/24",
  "ff02::/16",
  "100.100.100.200/32",
  "fd00:ec2::/32",
];

/** Addresses that lead to this machine. */
const loopbackCidrs = ["127.0.0.0/8", "0.0.0.0/8", "::1/128", "::/128"];
const loopback = listOf(loopbackCidrs);

/** Addresses that a registry must not direct requests to. */
export const privateCidrs = [...loopbackCidrs, "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"];

/** Addresses that modules are not fetched from, whatever name resolves to them. */
export class BlockedAddresses {
  readonly #cidrs: readonly string[];
  readonly #list: BlockList;
  #andLoopback: BlockedAddresses | undefined;

  /** @param cidrs in addition to those that are always blocked */
  constructor(cidrs: readonly string[]) {
    this.#cidrs = cidrs;
    this.#list = listOf([...alwaysBlocked, ...cidrs]);
  }

  /** These, and the addresses of this machine. */
  get andLoopback(): BlockedAddresses {
    this.#andLoopback ??= new BlockedAddresses([...this.#cidrs, ...loopbackCidrs]);
    return this.#andLoopback;
  }

  has(address: string): boolean {
    return isIn(this.#list, address);
  }

  /**
   * Resolves names as the system does; a blocked address is an error with the code `EBLOCKED`.
   * @param resolved is called with whether a name leads to this machine
   */
  lookup(resolved: (isLoopback: boolean) => void = () => undefined): LookupFunction {
    return (hostname, options, callback) => {
      lookupName(hostname, { ...options, all: true }, (error, addresses) => {
        const found: readonly LookupAddress[] = error === null ? addresses : [];
        const [first] = found;
        if (error !== null || first === undefined) {
          callback(error ?? new Error(`${hostname} has no address`), "", 0);
        } else if (found.some(({ address }) => this.has(address))) {
          callback(blockedError(hostname), "", 0);
        } else {
          resolved(found.every(({ address }) => isIn(loopback, address)));
          if (options.all === true) callback(null, [...found]);
          else callback(null, first.address, first.family);
        }
      });
    };
  }

  /** For a host that is an address, and is not resolved. @throws Error with the code `EBLOCKED` */
  assertAllowed(host: string): void {
    const address = host.replace(/^\[(.*)\]$/, "$1");
    if (ipFamily(address) !== 0 && this.has(address)) throw blockedError(host);
  }
}

function listOf(cidrs: readonly string[]): BlockList {
  const list = new BlockList();
  for (const cidr of cidrs) {
    const [address = "", bits = ""] = cidr.split("/");
    list.addSubnet(address, Number(bits), familyOf(address));
  }
  return list;
}

function isIn(list: BlockList, address: string): boolean {
  const plain = canonicalIp(address) ?? address;
  return list.check(plain, familyOf(plain)) || embeddedIpv4(plain).some((embedded) => list.check(embedded, "ipv4"));
}

function familyOf(address: string): "ipv4" | "ipv6" {
  return ipFamily(address) === 6 ? "ipv6" : "ipv4";
}

/** Prefixes of IPv6 addresses that lead to an IPv4 address within them, and the places of its bytes. */
const ipv4Prefixes: readonly (readonly [prefix: string, places: readonly number[], inverted?: true])[] = [
  // RFC 4291 2.5.5: compatible and mapped; RFC 6052 2.1: translated, and NAT64
  ["0".repeat(24), [12, 13, 14, 15]],
  [`${"0".repeat(20)}ffff`, [12, 13, 14, 15]],
  [`${"0".repeat(16)}ffff0000`, [12, 13, 14, 15]],
  [`0064ff9b${"0".repeat(16)}`, [12, 13, 14, 15]],
  // RFC 8215: NAT64 of the network's own, with prefixes of 48, 56, 64 and 96 bits as in RFC 6052 2.2
  ["0064ff9b0001", [6, 7, 9, 10]],
  ["0064ff9b0001", [7, 9, 10, 11]],
  ["0064ff9b0001", [9, 10, 11, 12]],
  ["0064ff9b0001", [12, 13, 14, 15]],
  // RFC 3056: 6to4
  ["2002", [2, 3, 4, 5]],
  // RFC 4380: Teredo, with its server, and with its client inverted
  ["20010000", [4, 5, 6, 7]],
  ["20010000", [12, 13, 14, 15], true],
];

function embeddedIpv4(address: string): readonly string[] {
  const bytes = ipBytes(address);
  if (bytes?.length !== 16) return [];
  const hex = Buffer.from(bytes).toString("hex");
  return ipv4Prefixes
    .filter(([prefix]) => hex.startsWith(prefix))
    .map(([, places, inverted]) =>
      formatIp(Uint8Array.from(places, (place) => (bytes[place] ?? 0) ^ (inverted === true ? 255 : 0))),
    );
}

function blockedError(host: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`the address of ${host} is blocked`), { code: "EBLOCKED" });
}
