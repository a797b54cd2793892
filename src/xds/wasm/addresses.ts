// SPDX-License-Identifier: Apache-2.0
import { lookup as lookupName, type LookupAddress } from "node:dns";
import { BlockList, isIP, type LookupFunction } from "node:net";

/**
 * Never the source of a module: link-local addresses, and the metadata servers of clouds.
 * Source: what Istio's agent blocks, as observed with 1.31
 */
const always = ["169.254.0.0/16", "fe80::/10", "224.0.0.0/24", "ff02::/16", "100.100.100.200/32", "fd00:ec2::/32"];

/** Addresses that must not be connected to, whatever name leads there. */
export class BlockedAddresses {
  readonly #list = new BlockList();

  /** @param cidrs on top of those that are always blocked */
  constructor(cidrs: readonly string[]) {
    for (const cidr of [...always, ...cidrs]) {
      const [address = "", bits = ""] = cidr.split("/");
      this.#list.addSubnet(address, Number(bits), isIP(address) === 6 ? "ipv6" : "ipv4");
    }
  }

  has(address: string): boolean {
    const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address;
    return this.#list.check(mapped, isIP(mapped) === 6 ? "ipv6" : "ipv4");
  }

  /** Resolves names as the system does; a blocked address is an error with the code `EBLOCKED`. */
  lookup(): LookupFunction {
    return (hostname, options, callback) => {
      lookupName(hostname, { ...options, all: true }, (error, addresses) => {
        const found: readonly LookupAddress[] = error === null ? addresses : [];
        const [first] = found;
        if (error !== null || first === undefined) {
          callback(error ?? new Error(`${hostname} has no address`), "", 0);
        } else if (found.some(({ address }) => this.has(address))) {
          callback(blocked(hostname), "", 0);
        } else if (options.all === true) callback(null, [...found]);
        else callback(null, first.address, first.family);
      });
    };
  }

  /** For a host that is an address itself, which nobody looks up. @throws Error with the code `EBLOCKED` */
  assertAllowed(host: string): void {
    const address = host.replace(/^\[(.*)\]$/, "$1");
    if (isIP(address) !== 0 && this.has(address)) throw blocked(host);
  }
}

function blocked(host: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`the address of ${host} is blocked`), { code: "EBLOCKED" });
}
