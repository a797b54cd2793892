// SPDX-License-Identifier: Apache-2.0
import { ByteParts } from "../byte-parts.ts";
import { DeadlineError, deadline } from "../async/clock.ts";
import { AgentError, describeError, systemCode } from "../errors.ts";
import { needsDefaultRoots, useDefaultRoots } from "./default-roots.ts";
import { formatHostPort } from "./host-port.ts";
import { sendByNode } from "./http-exchange.ts";
import type {
  HttpAddress,
  HttpConnectionOptions,
  HttpHead,
  HttpRequest,
  HttpResponse,
  HttpStream,
} from "./http-request.ts";
import { isLoopbackHost } from "./ip-address.ts";
import { TlsError } from "./tls-error.ts";

export type { HttpAddress, HttpConnectionOptions, HttpRequest, HttpResponse, HttpStream } from "./http-request.ts";

/** A server on this machine, over IPv4. */
export function loopback(port: number, path: string): HttpAddress {
  return { host: "127.0.0.1", port, path };
}

/** `tls`: the connection was made, but TLS with the server failed; the cause is a `TlsError`. */
export type HttpFailure =
  | "unreachable"
  | "tls"
  | "timeout"
  | "malformed"
  | "too-large"
  | "too-many-redirects"
  | "insecure";

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
    this.systemCode = cause instanceof TlsError ? cause.systemCode : systemCode(cause);
  }
}

const defaultMaxBodyBytes = 16 * 1024 * 1024;
const redirectStatuses: readonly number[] = [301, 302, 303, 307, 308];
/** Sent to another origin too: these are no credentials. A caller's other headers may be. */
const harmlessHeaders: readonly string[] = ["accept", "accept-language", "content-type", "user-agent"];

/**
 * Sends one HTTP/1.1 request and reads the whole response. Each request has a connection of its own, which is closed
 * afterwards. Node's HTTP client is loaded by the first request.
 * @throws HttpError; the signal's reason when the signal aborts
 */
export async function requestHttp(request: HttpRequest, signal?: AbortSignal): Promise<HttpResponse> {
  return await streamHttp(request, (response) => readResponse(response, request), signal);
}

/**
 * As `requestHttp`, with a body of any size. What `read` leaves of the body is not received.
 * @param read what it throws is thrown on
 */
export async function streamHttp<T>(
  request: HttpRequest,
  read: (response: HttpStream) => Promise<T>,
  signal?: AbortSignal,
): Promise<T> {
  signal?.throwIfAborted();
  using limit = request.deadline && deadline(request.deadline.clock, request.deadline.timeoutMs, signal);
  const stops = { own: limit?.signal ?? signal, callers: signal };
  const { message, last } = await follow(request, stops);
  try {
    const { statusCode = 0, headers } = message;
    return await read({ status: statusCode, headers, chunks: readBody(message, last, stops) });
  } finally {
    message.destroy();
  }
}

interface Stops {
  /** Aborts at the deadline too. */
  readonly own: AbortSignal | undefined;
  readonly callers: AbortSignal | undefined;
}

/** The first response that is no redirect, and the request that led to it. */
async function follow(
  request: HttpRequest,
  stops: Stops,
): Promise<{ readonly message: HttpHead; readonly last: HttpRequest }> {
  let current = request;
  for (let redirects = request.maxRedirects ?? 0; ; redirects--) {
    try {
      const message = await send(current, stops.own);
      const next = request.maxRedirects === undefined ? undefined : redirectOf(current, message);
      if (next === undefined) return { message, last: current };
      message.destroy();
      if (redirects === 0) {
        const problem = `more than ${String(request.maxRedirects)} redirects`;
        throw new HttpError("too-many-redirects", describeCall(request), problem);
      }
      current = next;
    } catch (error) {
      throw failed(error, current, stops);
    }
  }
}

function failed(error: unknown, request: HttpRequest, { own, callers }: Stops): unknown {
  if (callers?.aborted === true) return callers.reason;
  if (error instanceof HttpError) return error;
  const cause: unknown = own?.aborted === true && !(error instanceof TlsError) ? own.reason : error;
  return new HttpError(failureOf(cause), describeCall(request), describeError(cause), cause);
}

async function send(request: HttpRequest, signal: AbortSignal | undefined): Promise<HttpHead> {
  const { url, method = "GET", body, secretHeaders = {}, exchange } = request;
  const isTls = url instanceof URL ? url.protocol === "https:" : url.scheme === "https";
  const chosen = request.connection?.(urlOf(request)) ?? {};
  const { tls, proxies, ...connection } = chosen;
  const hasLogin = url instanceof URL && url.username !== "";
  if (hasLogin || Object.keys(secretHeaders).length > 0) assertConfidential(request, chosen);
  const outgoing = {
    ...connection,
    ...addressOptions(url),
    method,
    headers: {
      ...(request.gzip === true ? { "accept-encoding": "gzip" } : {}),
      ...(body === undefined ? {} : { "content-length": String(Buffer.byteLength(body)) }),
      ...request.headers,
      ...secretHeaders,
    },
    body,
  };
  if (!isTls && proxies === undefined && exchange !== undefined) return await exchange(outgoing, signal);
  if (needsDefaultRoots(isTls, chosen)) await useDefaultRoots();
  return await sendByNode(outgoing, { isTls, tls, proxies, signal });
}

function addressOptions(url: URL | HttpAddress): { host: string; port: number | string; path: string; auth?: string } {
  if (!(url instanceof URL)) return { host: url.host, port: url.port, path: url.path };
  const { hostname, port, pathname, search, username, password } = url;
  const auth = username === "" ? {} : { auth: `${decodeURIComponent(username)}:${decodeURIComponent(password)}` };
  return { host: hostname.replace(/^\[(.*)\]$/, "$1"), port, path: `${pathname}${search}`, ...auth };
}

/** @throws HttpError when others could read what is sent, or when the server could be another one */
function assertConfidential(request: HttpRequest, { tls, proxies, socketPath }: HttpConnectionOptions): void {
  const url = urlOf(request);
  const isVerified = url.protocol === "https:" && tls?.rejectUnauthorized !== false;
  const isLocal = socketPath !== undefined || (isLoopbackHost(url.hostname) && proxies === undefined);
  if (isVerified || isLocal) return;
  const problem = `a credential is not sent to ${url.host} without verified TLS`;
  throw new HttpError("insecure", describeCall(request), problem);
}

/** The request that a redirect leads to; undefined for every other response. */
function redirectOf(request: HttpRequest, { statusCode = 0, headers }: HttpHead): HttpRequest | undefined {
  if (headers.location === undefined || !redirectStatuses.includes(statusCode)) return undefined;
  const from = urlOf(request);
  const url = URL.parse(headers.location, from.href);
  if (url === null) throw new HttpError("malformed", describeCall(request), "the redirect's location is not a URL");
  const keepsBody = statusCode === 307 || statusCode === 308;
  const { body, ...next } = { ...(url.origin === from.origin ? request : withoutSecrets(request)), url };
  if (!keepsBody) return { ...next, method: request.method === "HEAD" ? "HEAD" : "GET" };
  if (body !== undefined && url.origin !== from.origin) {
    throw new HttpError("insecure", describeCall(request), `a body is not sent on to ${url.origin}`);
  }
  return { ...next, ...(body === undefined ? {} : { body }) };
}

function withoutSecrets({ secretHeaders: _, ...request }: HttpRequest): HttpRequest {
  const entries = Object.entries(request.headers ?? {});
  const headers = Object.fromEntries(entries.filter(([name]) => harmlessHeaders.includes(name.toLowerCase())));
  return { ...request, headers };
}

async function* readBody(
  message: HttpHead,
  request: HttpRequest,
  stops: Stops,
): AsyncGenerator<Uint8Array, void, undefined> {
  const { maxBodyBytes = defaultMaxBodyBytes } = request;
  let length = 0;
  try {
    for await (const chunk of message) {
      length += chunk.length;
      if (length > maxBodyBytes) throw tooLarge(request);
      yield chunk;
    }
  } catch (error) {
    throw failed(error, request, stops);
  }
}

function tooLarge(request: HttpRequest): HttpError {
  const { maxBodyBytes = defaultMaxBodyBytes } = request;
  const problem = `the response's body is larger than ${String(maxBodyBytes)} bytes`;
  return new HttpError("too-large", describeCall(request), problem);
}

async function readResponse({ status, headers, chunks }: HttpStream, request: HttpRequest): Promise<HttpResponse> {
  const parts = new ByteParts();
  for await (const chunk of chunks) parts.push(chunk);
  let body = parts.take();
  if (request.gzip === true && headers["content-encoding"] === "gzip") {
    const { gunzipSync } = await import("node:zlib");
    try {
      body = gunzipSync(body, { maxOutputLength: request.maxBodyBytes ?? defaultMaxBodyBytes });
    } catch (error) {
      if (systemCode(error) === "ERR_BUFFER_TOO_LARGE") throw tooLarge(request);
      throw new HttpError("malformed", describeCall(request), "the response's body is not valid gzip", error);
    }
  }
  return { status, headers, body, text: () => body.toString("utf8") };
}

function failureOf(cause: unknown): HttpFailure {
  if (cause instanceof DeadlineError) return "timeout";
  if (cause instanceof TlsError) return "tls";
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
