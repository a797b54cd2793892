// SPDX-License-Identifier: Apache-2.0
// What the HTTP client takes and gives.
import type { IncomingHttpHeaders } from "node:http";
import type { LookupFunction } from "node:net";
import type { Clock } from "../async/clock.ts";
import type { TlsClientOptions } from "./tls-error.ts";

export interface HttpRequest {
  readonly url: URL | HttpAddress;
  /** Default `GET`. Sent in the letter case given here. */
  readonly method?: string;
  /** A redirect to another origin takes along only those that are no credential, whatever their name. */
  readonly headers?: Readonly<Record<string, string>>;
  /** Credentials: sent only to the URL's origin, and only over verified TLS or within this machine. */
  readonly secretHeaders?: Readonly<Record<string, string>>;
  /** A redirect that would send it to another origin is an error. */
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
  /** Sends what needs neither TLS nor a proxy, in place of Node's client. */
  readonly exchange?: HttpExchange;
}

/** Sends one request on a connection of its own. @returns the head of its response @throws what went wrong */
export type HttpExchange = (request: OutgoingRequest, signal: AbortSignal | undefined) => Promise<HttpHead>;

export interface OutgoingRequest {
  readonly method: string;
  readonly host: string;
  readonly port: number | string;
  /** Includes the query. */
  readonly path: string;
  /** Name and password, with a colon between them. */
  readonly auth?: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | undefined;
  readonly socketPath?: string;
  readonly lookup?: LookupFunction;
}

/** Iterating it reads the body. */
export interface HttpHead extends AsyncIterable<Uint8Array> {
  readonly statusCode?: number | undefined;
  readonly headers: IncomingHttpHeaders;
  /** Closes the connection. */
  destroy(): unknown;
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

export interface HttpConnectionOptions {
  /** Trust anchors, client certificate, limits on versions and ciphers. */
  readonly tls?: TlsClientOptions;
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

/** A response whose body is read as it comes. */
export interface HttpStream {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  /** @throws HttpError when the body is larger than `maxBodyBytes`, or cut off; the signal's reason */
  readonly chunks: AsyncIterable<Uint8Array>;
}
