// SPDX-License-Identifier: Apache-2.0
import type { IncomingHttpHeaders, IncomingMessage } from "node:http";
import type { LookupFunction } from "node:net";
import type { ConnectionOptions } from "node:tls";
import { type Clock, DeadlineError, deadline } from "../async/clock.ts";
import { AgentError, describeError, systemCode } from "../errors.ts";
import { formatHostPort } from "./host-port.ts";

export interface HttpRequest {
  readonly url: URL | HttpAddress;
  /** Default `GET`. Sent in the letter case given here. */
  readonly method?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string;
  /** Covers everything from connecting to the last byte of the body, redirects included. None unless given. */
  readonly deadline?: { readonly clock: Clock; readonly timeoutMs: number };
  /** Limit of the response's body, after decompression. Default 16 MiB. */
  readonly maxBodyBytes?: number;
  /** Default 0: a redirect is returned like any other response. */
  readonly maxRedirects?: number;
  /** Offers gzip to the server and decompresses the body. */
  readonly gzip?: boolean;
  /** Called once for each connection, so that a redirect gets the options of its own URL. */
  readonly connection?: (url: URL) => HttpConnectionOptions;
}

/** A URL in parts, for a path that must be sent byte for byte. */
export interface HttpAddress {
  /** Default `http`. */
  readonly scheme?: "http" | "https";
  readonly host: string;
  readonly port: number;
  /** Includes the query. */
  readonly path: string;
}

/** A server on this machine, over IPv4. */
export function loopback(port: number, path: string): HttpAddress {
  return { host: "127.0.0.1", port, path };
}

export interface HttpConnectionOptions {
  /** Trust anchors, client certificate, limits on versions and ciphers. */
  readonly tls?: ConnectionOptions;
  /** Connects to this Unix socket instead of the URL's host and port. */
  readonly socketPath?: string;
  readonly lookup?: LookupFunction;
  /** `HTTP_PROXY`, `HTTPS_PROXY` and `NO_PROXY`. No proxy is used unless given. */
  readonly proxies?: Readonly<Record<string, string>>;
}

export interface HttpResponse {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
  /** The body as UTF-8. */
  text(): string;
}

export type HttpFailure = "unreachable" | "timeout" | "malformed" | "too-large" | "too-many-redirects";

/** A request got no complete response. Retrying is the caller's decision. */
export class HttpError extends AgentError {
  readonly code = "AGENT_HTTP";
  readonly failure: HttpFailure;
  /** What went wrong, without method and URL. */
  readonly problem: string;
  /** Node's or the system's code of the failed call, such as `ECONNREFUSED`. */
  readonly systemCode: string | undefined;
  constructor(failure: HttpFailure, call: string, problem: string, cause?: unknown) {
    super(`${call}: ${problem}`, { cause });
    this.failure = failure;
    this.problem = problem;
    this.systemCode = systemCode(cause);
  }
}

const defaultMaxBodyBytes = 16 * 1024 * 1024;
const redirectStatuses: readonly number[] = [301, 302, 303, 307, 308];
/** Not sent to another origin than the one they were meant for. */
const credentialHeaders: readonly string[] = ["authorization", "cookie", "proxy-authorization"];

/**
 * Sends one HTTP/1.1 request and reads the whole response. Each request has a connection of its own, which is closed
 * afterwards. Node's HTTP client is loaded by the first request.
 * @throws HttpError; the signal's reason when the signal aborts
 */
export async function requestHttp(request: HttpRequest, signal?: AbortSignal): Promise<HttpResponse> {
  signal?.throwIfAborted();
  using limit = request.deadline && deadline(request.deadline.clock, request.deadline.timeoutMs, signal);
  const stop = limit?.signal ?? signal;
  let current = request;
  for (let redirects = request.maxRedirects ?? 0; ; redirects--) {
    try {
      const message = await send(current, stop);
      const next = request.maxRedirects === undefined ? undefined : redirectOf(current, message);
      if (next === undefined) return await readResponse(message, current);
      message.destroy();
      if (redirects === 0) {
        const problem = `more than ${String(request.maxRedirects)} redirects`;
        throw new HttpError("too-many-redirects", describeCall(request), problem);
      }
      current = next;
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof HttpError) throw error;
      const cause: unknown = stop?.aborted === true ? stop.reason : error;
      throw new HttpError(failureOf(cause), describeCall(current), describeError(cause), cause);
    }
  }
}

async function send(request: HttpRequest, signal: AbortSignal | undefined): Promise<IncomingMessage> {
  const { url, method = "GET", body } = request;
  const isTls = url instanceof URL ? url.protocol === "https:" : url.scheme === "https";
  const { Agent, request: open } = isTls ? await import("node:https") : await import("node:http");
  const { tls, proxies, ...connection } = request.connection?.(urlOf(request)) ?? {};
  const options = {
    ...tls,
    ...connection,
    ...addressOptions(url),
    agent: proxies === undefined ? false : new Agent({ proxyEnv: { ...proxies } }),
    method,
    headers: {
      ...(request.gzip === true ? { "accept-encoding": "gzip" } : {}),
      ...(body === undefined ? {} : { "content-length": Buffer.byteLength(body) }),
      ...request.headers,
    },
    ...(signal === undefined ? {} : { signal }),
  };
  return new Promise((resolve, reject) => {
    const outgoing = open(options, resolve);
    // Node changes the method to upper case when the request is made.
    outgoing.method = method;
    outgoing.on("error", reject);
    outgoing.end(body);
  });
}

function addressOptions(url: URL | HttpAddress): { host: string; port: number | string; path: string; auth?: string } {
  if (!(url instanceof URL)) return { host: url.host, port: url.port, path: url.path };
  const { hostname, port, pathname, search, username, password } = url;
  const auth = username === "" ? {} : { auth: `${decodeURIComponent(username)}:${decodeURIComponent(password)}` };
  return { host: hostname.replace(/^\[(.*)\]$/, "$1"), port, path: `${pathname}${search}`, ...auth };
}

/** The request that a redirect leads to; undefined for every other response. */
function redirectOf(request: HttpRequest, { statusCode = 0, headers }: IncomingMessage): HttpRequest | undefined {
  if (headers.location === undefined || !redirectStatuses.includes(statusCode)) return undefined;
  const from = urlOf(request);
  const url = new URL(headers.location, from);
  const isSameOrigin = url.origin === from.origin;
  const kept = Object.entries(request.headers ?? {}).filter(
    ([name]) => isSameOrigin || !credentialHeaders.includes(name.toLowerCase()),
  );
  const next = { ...request, url, headers: Object.fromEntries(kept) };
  if (statusCode === 307 || statusCode === 308 || request.method === "HEAD") return next;
  const { body: _, ...withoutBody } = next;
  return { ...withoutBody, method: "GET" };
}

async function readResponse(message: IncomingMessage, request: HttpRequest): Promise<HttpResponse> {
  const maxBytes = request.maxBodyBytes ?? defaultMaxBodyBytes;
  const tooLarge = (): HttpError => {
    const problem = `the response's body is larger than ${String(maxBytes)} bytes`;
    return new HttpError("too-large", describeCall(request), problem);
  };
  const chunks: Uint8Array[] = [];
  let length = 0;
  const received: AsyncIterable<Uint8Array> = message;
  for await (const chunk of received) {
    length += chunk.length;
    if (length > maxBytes) throw tooLarge();
    chunks.push(chunk);
  }
  let body = Buffer.concat(chunks);
  if (request.gzip === true && message.headers["content-encoding"] === "gzip") {
    const { gunzipSync } = await import("node:zlib");
    try {
      body = gunzipSync(body, { maxOutputLength: maxBytes });
    } catch (error) {
      if (systemCode(error) === "ERR_BUFFER_TOO_LARGE") throw tooLarge();
      throw new HttpError("malformed", describeCall(request), "the response's body is not valid gzip", error);
    }
  }
  return { status: message.statusCode ?? 0, headers: message.headers, body, text: () => body.toString("utf8") };
}

function failureOf(cause: unknown): HttpFailure {
  if (cause instanceof DeadlineError) return "timeout";
  return systemCode(cause)?.startsWith("HPE_") === true ? "malformed" : "unreachable";
}

function urlOf({ url }: HttpRequest): URL {
  return url instanceof URL ? url : new URL(`${url.scheme ?? "http"}://${formatHostPort(url)}${url.path}`);
}

/** Method and URL for an error; without the query, which may hold a secret. */
function describeCall({ url, method = "GET" }: HttpRequest): string {
  if (url instanceof URL) return `${method} ${url.origin}${url.pathname}`;
  return `${method} ${url.scheme ?? "http"}://${formatHostPort(url)}${url.path.split("?")[0] ?? ""}`;
}
