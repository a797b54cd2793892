// SPDX-License-Identifier: Apache-2.0
import { type HttpConnectionOptions, type HttpResponse, requestHttp } from "../../lib/net/http-client.ts";
import type { BlockedAddresses } from "./addresses.ts";
import type { WasmProxies } from "../xds-config.ts";

export interface HttpFetchOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly blocked: BlockedAddresses;
  /** Whether the server's certificate is not verified. */
  readonly isInsecure: (url: URL) => boolean;
  readonly maxBytes: number;
  readonly proxies: WasmProxies;
}

/** A response with another status than 200. */
export class HttpStatusError extends Error {
  readonly status: number;
  constructor(status: number, url: URL) {
    super(`${url.host} answered with status ${String(status)}`);
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
  return await requestHttp({ url, headers, maxBodyBytes, maxRedirects: 10, connection }, signal);
}

/** Never requested through a proxy. */
function isLoopback(host: string): boolean {
  return host === "localhost" || host === "[::1]" || host.startsWith("127.");
}
