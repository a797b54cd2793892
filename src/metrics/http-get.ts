// SPDX-License-Identifier: Apache-2.0
import { connect, type LookupFunction, type OnReadOpts, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import type { Budget } from "../lib/budget.ts";
import { AgentError } from "../lib/errors.ts";
import { ResponseReader } from "../lib/net/response-reader.ts";
import type { ScrapeTarget } from "../model/scrape-target.ts";
import { returnBuffer, takeBuffer } from "./buffers.ts";

export type RequestHeaders = Readonly<Record<string, string>>;

/** Receives a response while it arrives. Pieces are valid during the call only: their memory is reused. */
export interface FetchReader {
  /** For the head of the response. */
  readonly headerBytes: Budget;
  head(status: number, headers: ReadonlyMap<string, string>): void;
  /** @returns false to pause until `resume` */
  piece(bytes: Uint8Array): boolean;
}

/** A running fetch. */
export interface Fetch {
  /** Resolves when the whole body has been passed to the reader. @throws FetchError */
  readonly done: Promise<void>;
  resume(): void;
  /** Fails the fetch with this cause; has no effect on one that has ended. */
  cancel(cause: Error): void;
  /** Returns the buffer to the pool; call it once, when no piece is in use any more. */
  release(): void;
}

/** The target did not respond, or not in HTTP. */
export class FetchError extends AgentError {
  readonly code = "AGENT_SCRAPE";
  constructor(target: ScrapeTarget, problem: string, cause?: unknown) {
    super(`scrape ${target.scheme}://${target.host}:${String(target.port)}${target.path}: ${problem}`, { cause });
  }
}

/**
 * Sends one GET over a connection of its own. The body passes through one reused buffer: with Node's own client, a body
 * of 10 MB leaves 35 MB of buffers behind until they are collected.
 * Source: docs/adr/0007-merged-scrapes.md; RFC 9112 sections 6 and 7
 */
export function startFetch(target: ScrapeTarget, headers: RequestHeaders, reader: FetchReader): Fetch {
  const { promise, resolve, reject } = Promise.withResolvers<undefined>();
  const response = new ResponseReader(reader, reader.headerBytes);
  const buffer = takeBuffer();
  const fail = (problem: string, cause?: unknown): void => {
    socket.destroy();
    reject(new FetchError(target, problem, cause));
  };
  const onread = {
    buffer,
    callback(bytes: number): boolean {
      try {
        const flowing = response.feed(buffer.subarray(0, bytes));
        if (response.complete) socket.destroy();
        return flowing;
      } catch (error) {
        fail(error instanceof Error ? error.message : String(error));
        return false;
      }
    },
  };
  const socket = open(target, onread, () => {
    socket.write(renderRequest(target, headers));
  });
  socket.on("error", (error) => {
    fail("failed", error);
  });
  socket.on("end", () => {
    response.end();
    if (!response.complete) fail("the connection ended before the response was complete");
    socket.destroy();
  });
  socket.on("close", () => {
    if (response.complete) resolve(undefined);
    else reject(new FetchError(target, "the connection closed before the response was complete"));
  });
  promise.catch(() => undefined);
  return {
    done: promise,
    resume: () => {
      socket.resume();
    },
    cancel: (cause) => {
      fail(cause.message);
    },
    release: () => {
      if (socket.closed) returnBuffer(buffer);
    },
  };
}

function open(target: ScrapeTarget, onread: OnReadOpts, onOpen: () => void): Socket {
  const { host, port } = target;
  const lookup = host === "localhost" ? { lookup: lookupLocalhost } : undefined;
  if (target.scheme === "http") return connect({ host, port, onread, ...lookup }, onOpen);
  // TLS sockets take `onread` too, although their types lack it
  const options = { host, port, onread, rejectUnauthorized: false };
  return connectTls(options, onOpen);
}

function renderRequest(target: ScrapeTarget, headers: RequestHeaders): string {
  const host = target.host.includes(":") ? `[${target.host}]` : target.host;
  const lines = [`GET ${target.path} HTTP/1.1`, `Host: ${host}:${String(target.port)}`];
  for (const [name, value] of Object.entries(headers)) lines.push(`${name}: ${value.replaceAll(/[\r\n]/g, " ")}`);
  return `${lines.join("\r\n")}\r\nAccept-Encoding: identity\r\nConnection: close\r\n\r\n`;
}

/** Both address families, IPv4 first, without the resolver and its threads. */
const lookupLocalhost: LookupFunction = (_name, _options, callback) => {
  callback(null, [
    { address: "127.0.0.1", family: 4 },
    { address: "::1", family: 6 },
  ]);
};
