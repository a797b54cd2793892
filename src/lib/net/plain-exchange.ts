// SPDX-License-Identifier: Apache-2.0
import { connect, type NetConnectOpts } from "node:net";
import type { HttpExchange, HttpHead } from "./http-request.ts";
import { ResponseReader } from "./response-reader.ts";

/** As Node's own client. */
const maxHeadBytes = 16 * 1024;

const headLimit = {
  admits: (bytes: number) => bytes <= maxHeadBytes,
  spentError: () => new MalformedResponseError(`the response's headers are larger than ${String(maxHeadBytes)} bytes`),
};

/** The peer sent something else than HTTP/1.1. */
class MalformedResponseError extends Error {
  /** Begins as the codes of Node's own parser do. */
  readonly code = "HPE_INVALID";
}

/** Methods whose requests have no length when they have no body. Source: RFC 9110 section 8.6 */
const withoutBody: readonly string[] = ["GET", "HEAD", "DELETE", "OPTIONS", "TRACE", "CONNECT"];

/**
 * One plaintext HTTP/1.1 request without Node's HTTP client, which takes 10 ms of processor time and 2 MB of memory in a
 * process that makes one request.
 * Source: RFC 9112
 */
export const plainExchange: HttpExchange = async ({ host, port, path, socketPath, auth, lookup, ...rest }, signal) => {
  const { method, body = "" } = rest;
  const headers = new Map<string, string>([["Host", hostHeader(host, Number(port || 80))]]);
  for (const [name, value] of Object.entries(rest.headers)) headers.set(name, value);
  if (auth !== undefined) headers.set("Authorization", `Basic ${Buffer.from(auth).toString("base64")}`);
  if (body === "" && !withoutBody.includes(method)) headers.set("Content-Length", "0");
  headers.set("Connection", "close");
  const lines = [`${method} ${path} HTTP/1.1`, ...[...headers].map(([name, value]) => `${name}: ${value}`)];
  if (lines.some((line) => /[\0\r\n]/.test(line)) || /\s/.test(path))
    throw new Error("the request has invalid characters");

  const request = `${lines.join("\r\n")}\r\n\r\n${body}`;
  if (socketPath !== undefined) return await send(request, method, { path: socketPath }, signal);
  const target = { host, port: Number(port || 80), ...(lookup === undefined ? {} : { lookup }) };
  if (host !== "localhost" || lookup !== undefined) return await send(request, method, target, signal);
  try {
    return await send(request, method, { ...target, host: "127.0.0.1" }, signal);
  } catch (error) {
    if (!isOfConnecting(error)) throw error;
    return await send(request, method, { ...target, host: "::1" }, signal).catch((second: unknown) => {
      throw isOfConnecting(second) ? error : second;
    });
  }
};

function isOfConnecting(error: unknown): boolean {
  return error instanceof Error && "syscall" in error && error.syscall === "connect";
}

async function send(
  request: string,
  method: string,
  target: NetConnectOpts,
  signal: AbortSignal | undefined,
): Promise<HttpHead> {
  const socket = connect(target);
  const onAbort = (): void => {
    socket.destroy(new Error("aborted", { cause: signal?.reason }));
  };
  signal?.addEventListener("abort", onAbort, { once: true });
  socket.once("close", () => signal?.removeEventListener("abort", onAbort));
  socket.write(request);
  return await readResponse(socket, method);
}

function hostHeader(host: string, port: number): string {
  const name = host.includes(":") ? `[${host}]` : host;
  return port === 80 ? name : `${name}:${String(port)}`;
}

/** The socket as what sends chunks. */
interface Received extends AsyncIterable<Uint8Array> {
  destroy(): unknown;
}

async function readResponse(socket: Received, method: string): Promise<HttpHead> {
  let head: Pick<HttpHead, "statusCode" | "headers"> | undefined;
  const pieces: Uint8Array[] = [];
  const handler = {
    head(statusCode: number, headers: ReadonlyMap<string, string>): void {
      head = { statusCode, headers: Object.fromEntries(headers) };
    },
    piece: (bytes: Uint8Array) => pieces.push(bytes) > 0,
  };
  const reader = new ResponseReader(handler, headLimit, method !== "HEAD");
  const received = socket[Symbol.asyncIterator]();
  const read = async (): Promise<void> => {
    const next = await received.next();
    if (next.done === true) {
      reader.end();
      if (!reader.complete) throw new Error("the connection closed before the response was complete");
    } else feed(reader, next.value);
  };
  try {
    while (head === undefined) await read();
  } catch (error) {
    socket.destroy();
    throw error;
  }
  return {
    ...head,
    destroy: () => socket.destroy(),
    async *[Symbol.asyncIterator]() {
      for (;;) {
        yield* pieces.splice(0);
        if (reader.complete) return;
        await read();
      }
    },
  };
}

function feed(reader: ResponseReader, bytes: Uint8Array): void {
  try {
    reader.feed(bytes);
  } catch (error) {
    throw error instanceof MalformedResponseError
      ? error
      : new MalformedResponseError(error instanceof Error ? error.message : String(error));
  }
}
