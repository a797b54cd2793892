// SPDX-License-Identifier: Apache-2.0
import type { Budget } from "../../lib/budget.ts";
import {
  HttpError,
  type HttpConnectionOptions,
  type HttpRequest,
  type HttpResponse,
  type HttpStream,
  requestHttp,
  streamHttp,
} from "../../lib/net/http-client.ts";
import { isLoopbackHost } from "../../lib/net/ip-address.ts";
import type { WasmProxies } from "../xds-config.ts";
import type { BlockedAddresses } from "./blocked-addresses.ts";

export interface HttpFetchOptions {
  readonly headers?: Readonly<Record<string, string>>;
  /** Sent to the first URL's origin only, and only over verified TLS or to literal loopback. */
  readonly secretHeaders?: Readonly<Record<string, string>>;
  readonly blocked: BlockedAddresses;
  /** Whether the server's certificate is not verified. */
  readonly isInsecure: (url: URL) => boolean;
  readonly proxies: WasmProxies;
  /** Limits a response that is kept in memory. */
  readonly responseBytes: Budget;
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
 * Requests a small response over HTTP and follows redirects. Each URL on the way is checked against the blocked
 * addresses.
 * @throws HttpError, also for a blocked address and for another scheme than http and https; BudgetSpentError for a
 * larger response; the signal's reason
 */
export async function fetchHttp(url: URL, options: HttpFetchOptions, signal: AbortSignal): Promise<HttpResponse> {
  const { responseBytes } = options;
  try {
    return await requestHttp({ ...requestFor(url, options), maxBodyBytes: responseBytes.size }, signal);
  } catch (error) {
    if (!(error instanceof HttpError) || error.failure !== "too-large") throw error;
    responseBytes.admits(responseBytes.size + 1);
    throw responseBytes.spentError();
  }
}

/** As `fetchHttp`, for a response of any size. @param read limits what it reads */
export async function downloadHttp<T>(
  url: URL,
  options: HttpFetchOptions,
  read: (response: HttpStream) => Promise<T>,
  signal: AbortSignal,
): Promise<T> {
  const request = { ...requestFor(url, options), maxBodyBytes: Number.POSITIVE_INFINITY };
  return await streamHttp(request, read, signal);
}

/** A redirect must not lead from elsewhere to this machine, whatever name resolves to it. */
function requestFor(url: URL, options: HttpFetchOptions): HttpRequest {
  const { headers = {}, secretHeaders = {}, blocked, isInsecure, proxies } = options;
  let requests = 0;
  let startsOnLoopback = isLoopbackHost(url.hostname);
  const connection = (target: URL): HttpConnectionOptions => {
    if (target.protocol !== "http:" && target.protocol !== "https:") {
      throw new Error(`the scheme ${target.protocol} is not supported`);
    }
    const isFirst = requests++ === 0;
    const addresses = isFirst || startsOnLoopback ? blocked : blocked.andLoopback;
    addresses.assertAllowed(target.hostname);
    const lookup = addresses.lookup((loopback) => {
      if (isFirst && loopback) startsOnLoopback = true;
    });
    const lookupOfProxy = blocked.lookup();
    return {
      lookup: (host, ...rest) => {
        (host === target.hostname ? lookup : lookupOfProxy)(host, ...rest);
      },
      tls: { rejectUnauthorized: !isInsecure(target) },
      ...(isLoopbackHost(target.hostname) ? {} : { proxies: { ...proxies } }),
    };
  };
  return { url, headers, secretHeaders, maxRedirects, connection };
}
