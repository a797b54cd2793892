// SPDX-License-Identifier: Apache-2.0
import type { IncomingMessage, RequestOptions } from "node:http";
import type { ConnectionOptions } from "node:tls";
import type { Clock } from "../lib/async/clock.ts";
import { deadline } from "../lib/async/clock.ts";
import { describeError } from "../lib/errors.ts";
import { readTlsClientOptions } from "../lib/net/tls-client.ts";
import { formatHostPort } from "../lib/net/host-port.ts";
import type { HttpServer } from "./ca-config.ts";
import { CaError } from "./ca-error.ts";

/** One HTTP request with a JSON body, and with a JSON answer unless said otherwise. */
export interface HttpCall {
  readonly method: "GET" | "POST" | "DELETE";
  /** With its query. */
  readonly path: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: unknown;
  readonly timeoutMs: number;
  /** Presented instead of what the server's configuration names. */
  readonly clientPair?: { readonly cert: string; readonly key: string };
}

export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
  /** Of `Retry-After`, in milliseconds; 0 when there is none. */
  readonly retryAfterMs: number;
}

/** No answer of a CA is longer. */
const longestBody = 1024 * 1024;

/**
 * Makes one request over a connection of its own.
 * @throws CaError: unreachable, misconfigured when there is no root to verify by; or the signal's reason
 */
export async function callHttp(
  server: HttpServer,
  call: HttpCall,
  clock: Clock,
  signal: AbortSignal,
): Promise<HttpAnswer> {
  const address = formatHostPort(server);
  const tls = await tlsOptionsFor(server, call, clock);
  using limit = deadline(clock, call.timeoutMs, signal);
  const body = call.body === undefined ? undefined : JSON.stringify(call.body);
  const options: RequestOptions & ConnectionOptions = {
    host: server.host,
    port: server.port,
    method: call.method,
    path: call.path,
    headers: {
      accept: "application/json",
      ...(body === undefined ? {} : { "content-type": "application/json", "content-length": Buffer.byteLength(body) }),
      ...call.headers,
    },
    agent: false,
    signal: limit.signal,
    ...tls,
  };
  try {
    return await exchange(server.security.kind, options, body);
  } catch (cause) {
    signal.throwIfAborted();
    const text = describeError(limit.signal.aborted ? limit.signal.reason : cause);
    throw new CaError("unreachable", address, text, { cause });
  }
}

async function tlsOptionsFor({ security, ...server }: HttpServer, call: HttpCall, clock: Clock): Promise<object> {
  if (security.kind === "plaintext") return {};
  try {
    const { host: _, ...options } = await readTlsClientOptions(security, clock.now());
    return { ...options, ...call.clientPair };
  } catch (cause) {
    const address = formatHostPort(server);
    throw new CaError("misconfigured", address, "there is no root to verify it by", { cause });
  }
}

async function exchange(
  kind: "plaintext" | "tls",
  options: RequestOptions,
  body: string | undefined,
): Promise<HttpAnswer> {
  const { request } = kind === "tls" ? await import("node:https") : await import("node:http");
  return new Promise((resolve, reject) => {
    const sent = request(options, (response) => {
      readBody(response).then((text) => {
        resolve({ status: response.statusCode ?? 0, body: text, retryAfterMs: retryAfterMs(response) });
      }, reject);
    });
    sent.on("error", reject);
    sent.end(body);
  });
}

async function readBody(response: IncomingMessage): Promise<string> {
  const chunks: Uint8Array[] = [];
  let length = 0;
  for await (const chunk of response) {
    const bytes: Uint8Array = Buffer.from(chunk);
    length += bytes.length;
    if (length > longestBody) throw new Error(`the answer is longer than ${String(longestBody)} bytes`);
    chunks.push(bytes);
  }
  return Buffer.concat(chunks).toString("utf8");
}

function retryAfterMs({ headers }: IncomingMessage): number {
  const seconds = Number(headers["retry-after"] ?? "0");
  return Number.isFinite(seconds) && seconds > 0 ? seconds * 1_000 : 0;
}
