// SPDX-License-Identifier: Apache-2.0
import type { IncomingMessage } from "node:http";
import type { BlockedAddresses } from "./addresses.ts";
import { systemCode } from "../../lib/errors.ts";
import type { WasmProxies } from "./wasm-config.ts";

export interface HttpFetchOptions {
  readonly headers?: Readonly<Record<string, string>>;
  readonly blocked: BlockedAddresses;
  readonly isInsecure: (url: URL) => boolean;
  readonly maxBytes: number;
  readonly proxies: WasmProxies;
}

export interface HttpAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string | string[] | undefined>>;
  readonly body: Buffer;
}

const mostRedirects = 10;

/**
 * One GET, with its redirects.
 * @throws Error for a blocked address, too many redirects, or a body above the limit; the system's errors
 */
export async function fetchHttp(start: URL, options: HttpFetchOptions, signal: AbortSignal): Promise<HttpAnswer> {
  let url = start;
  let { headers } = options;
  for (let redirect = 0; redirect <= mostRedirects; redirect++) {
    const answer = await getOnce(url, { ...options, ...(headers === undefined ? {} : { headers }) }, signal);
    const { location } = answer.headers;
    if (answer.status < 300 || answer.status >= 400 || typeof location !== "string") return answer;
    const next = new URL(location, url);
    // Credentials are for the host that they were meant for, and never leave encryption.
    if (next.origin !== url.origin) headers = undefined;
    url = next;
  }
  throw new Error(`${start.host} leads to too many redirects`);
}

async function getOnce(url: URL, options: HttpFetchOptions, signal: AbortSignal): Promise<HttpAnswer> {
  if (url.protocol !== "http:" && url.protocol !== "https:") {
    throw new Error(`the scheme of ${url.href} is not supported`);
  }
  const { Agent, request } = await (url.protocol === "https:" ? import("node:https") : import("node:http"));
  try {
    options.blocked.assertAllowed(url.hostname);
    const agent = isLoopback(url.hostname) ? false : new Agent({ proxyEnv: { ...options.proxies } });
    const answer = await new Promise<IncomingMessage>((resolve, reject) => {
      const { headers = {} } = options;
      const more = { lookup: options.blocked.lookup(), rejectUnauthorized: !options.isInsecure(url), agent };
      request(url, { headers, signal, ...more }, resolve)
        .once("error", reject)
        .end();
    });
    return {
      status: answer.statusCode ?? 0,
      headers: answer.headers,
      body: await readBody(answer, url, options.maxBytes),
    };
  } catch (error) {
    if (systemCode(error) !== "EBLOCKED") throw error;
    throw new Error(`the address of ${url.host} is blocked`);
  }
}

/** Never asked for through a proxy. */
function isLoopback(host: string): boolean {
  return host === "localhost" || host === "[::1]" || host.startsWith("127.");
}

/** Nobody has set an encoding, so they are buffers. */
function parseChunks(answer: IncomingMessage): AsyncIterable<Buffer> {
  return answer as AsyncIterable<Buffer>;
}

async function readBody(answer: IncomingMessage, url: URL, maxBytes: number): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of parseChunks(answer)) {
    bytes += chunk.length;
    if (bytes > maxBytes) {
      answer.destroy();
      throw new Error(`what ${url.host} sends is larger than ${String(maxBytes)} bytes`);
    }
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}
