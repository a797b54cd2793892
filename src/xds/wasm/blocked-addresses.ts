// SPDX-License-Identifier: Apache-2.0
import { lookup as lookupName, type LookupAddress } from "node:dns";
import { BlockList, type LookupFunction } from "node:net";
import { formatIp, ipBytes, ipFamily } from "../../lib/net/ip-address.ts";

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
  const embedded = embeddedIpv4(address);
  return list.check(address, familyOf(address)) || (embedded !== undefined && list.check(embedded, "ipv4"));
}

function familyOf(address: string): "ipv4" | "ipv6" {
  return ipFamily(address) === 6 ? "ipv6" : "ipv4";
}

/** Prefixes of IPv6 addresses that lead to the IPv4 address in their last 32 bits. Source: RFC 4291 2.5.5, RFC 6052 2.1 */
const ipv4Prefixes = ["0".repeat(24), `${"0".repeat(20)}ffff`, `0064ff9b${"0".repeat(16)}`];

function embeddedIpv4(address: string): string | undefined {
  const bytes = ipBytes(address);
  if (bytes?.length !== 16) return undefined;
  const prefix = Buffer.from(bytes.subarray(0, 12)).toString("hex");
  return ipv4Prefixes.includes(prefix) ? formatIp(bytes.subarray(12)) : undefined;
}

function blockedError(host: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`the address of ${host} is blocked`), { code: "EBLOCKED" });
}
