// SPDX-License-Identifier: Apache-2.0
import { lookup as lookupName, type LookupAddress } from "node:dns";
import { BlockList, type LookupFunction } from "node:net";
import { type HttpConnectionOptions, type HttpResponse, requestHttp } from "../../lib/net/http-client.ts";
import { ipFamily, isIpv6 } from "../../lib/net/ip-address.ts";
import type { WasmProxies } from "../xds-config.ts";

export interface HttpFetchOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly blocked: BlockedAddresses;
  /** Whether the server's certificate is not verified. */
  readonly isInsecure: (url: URL) => boolean;
  readonly maxBytes: number;
  readonly proxies: WasmProxies;
}

const maxRedirects = 10;

/** A response with another status than 200. */
export class HttpStatusError extends Error {
  readonly status: number;
  constructor(status: number, url: URL) {
    super(`${url.host} responded with status ${String(status)}`);
    this.status = status;
  }
}

/**
 * Downloads over HTTP and follows redirects. Each URL on the way is checked against the blocked addresses.
 * @throws HttpError, also for a blocked address and for another scheme than http and https; the signal's reason
 */
export async function fetchHttp(url: URL, options: HttpFetchOptions, signal: AbortSignal): Promise<HttpResponse> {
  const { headers = {}, blocked, isInsecure, maxBytes: maxBodyBytes, proxies } = options;
  const connection = (target: URL): HttpConnectionOptions => {
    if (target.protocol !== "http:" && target.protocol !== "https:") {
      throw new Error(`the scheme of ${target.href} is not supported`);
    }
    blocked.assertAllowed(target.hostname);
    return {
      lookup: blocked.lookup(),
      tls: { rejectUnauthorized: !isInsecure(target) },
      ...(isLoopback(target.hostname) ? {} : { proxies: { ...proxies } }),
    };
  };
  return await requestHttp({ url, headers, maxBodyBytes, maxRedirects, connection }, signal);
}

/** Never requested through a proxy. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "[::1]" || host.startsWith("127.");
}

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

/** Addresses that modules are not fetched from, whatever name resolves to them. */
export class BlockedAddresses {
  readonly #list = new BlockList();

  /** @param cidrs in addition to those that are always blocked */
  constructor(cidrs: readonly string[]) {
    for (const cidr of [...alwaysBlocked, ...cidrs]) {
      const [address = "", bits = ""] = cidr.split("/");
      this.#list.addSubnet(address, Number(bits), familyOf(address));
    }
  }

  has(address: string): boolean {
    const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1] ?? address;
    return this.#list.check(mapped, familyOf(mapped));
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
          callback(blockedError(hostname), "", 0);
        } else if (options.all === true) callback(null, [...found]);
        else callback(null, first.address, first.family);
      });
    };
  }

  /** For a host that is an address, and is not resolved. @throws Error with the code `EBLOCKED` */
  assertAllowed(host: string): void {
    const address = host.replace(/^\[(.*)\]$/, "$1");
    if (ipFamily(address) !== 0 && this.has(address)) throw blockedError(host);
  }
}

function familyOf(address: string): "ipv4" | "ipv6" {
  return isIpv6(address) ? "ipv6" : "ipv4";
}

function blockedError(host: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`the address of ${host} is blocked`), { code: "EBLOCKED" });
}
