// SPDX-License-Identifier: Apache-2.0
import type { IncomingMessage, ServerResponse } from "node:http";
import { escapeControls } from "../lib/printable-text.ts";
import type { ResponseLimits } from "./response-limits.ts";

/** One request that is being handled. */
export interface Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly limits: ResponseLimits;
  /** Decoded once; to be compared as text only. */
  readonly path: string;
  /** As received, without the question mark. */
  readonly query: string;
  /** Aborts when the caller has left before its response was complete. */
  readonly signal: AbortSignal;
}

/** A call whose signal is made for who asks for it: most calls have their response at once. */
export class RequestCall implements Call {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
  readonly limits: ResponseLimits;
  readonly path: string;
  readonly query: string;
  #left: AbortController | undefined;

  constructor({ request, response, limits, path, query }: Omit<Call, "signal">) {
    this.request = request;
    this.response = response;
    this.limits = limits;
    this.path = path;
    this.query = query;
  }

  get signal(): AbortSignal {
    if (this.#left === undefined) {
      const left = new AbortController();
      const leave = (): void => {
        if (!this.response.writableFinished) left.abort(new Error("the caller has left"));
      };
      if (this.response.closed) leave();
      else this.response.once("close", leave);
      this.#left = left;
    }
    return this.#left.signal;
  }
}

/** What it takes to respond. */
export type Exchange = Pick<Call, "request" | "response" | "limits">;

/** A complete response, small enough to be held in memory. */
export interface Reply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

const plainText = { "Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff" };
/** Shorter bodies are not compressed. */
const minCompressedBytes = 1_024;
/** Up to this size, one write of a text is cheaper than two pieces. */
const shortBytes = 4_096;
/** A caller that has not read its response by then is disconnected. */
const readWithinMs = 30_000;

/** A short text for a person, in the form of Go's HTTP server. */
export function textReply(status: number, text: string): Reply {
  return { status, headers: plainText, body: `${text}\n` };
}

export function jsonReply(status: number, value: unknown, headers: Reply["headers"] = {}): Reply {
  const lines = JSON.stringify(value, undefined, 2).split("\n");
  const body = `${lines.map(escapeControls).join("\n")}\n`;
  return { status, headers: { "Content-Type": "application/json", ...headers }, body };
}

/** Text that a header may hold: printable ASCII on one line, at most 256 characters. */
export function headerText(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]+/g, " ").slice(0, 256);
}

export const notFound = textReply(404, "404 page not found");
export const onlyLocalhost = textReply(403, "Only requests from localhost are allowed");
export const methodNotAllowed = textReply(405, "Method Not Allowed");

/** Sends a reply, compressed where it is long and the caller accepts that. Does nothing when the caller has left. */
export function sendReply({ request, response, limits }: Exchange, reply: Reply): void {
  if (response.destroyed || response.headersSent) return;
  const { status, headers, body = "" } = reply;
  const bytes = typeof body === "string" ? Buffer.byteLength(body) : body.byteLength;
  const accepted = request.headers["accept-encoding"];
  const isLong = bytes >= minCompressedBytes && request.method !== "HEAD";
  if (isLong && typeof accepted === "string" && limits.admitsEncoder(response)) {
    limits.count(response, bytes);
    sendCompressed(response, reply, Buffer.from(body), accepted).catch(() => response.destroy());
    return;
  }
  // a flat list, which Node.js writes as it is
  const head: string[] = [];
  for (const name in headers) head.push(name, headers[name] ?? "");
  head.push("Vary", "Accept-Encoding");
  if (status !== 204) head.push("Content-Length", String(bytes));
  response.writeHead(status, head);
  // one write sends header and text together; an empty body must not cause a second one
  if (bytes === 0) response.end();
  else if (typeof body === "string" || bytes > shortBytes) response.end(body);
  else response.end(Buffer.from(body.buffer, body.byteOffset, bytes).toString("latin1"), "latin1");
  if (response.socket !== null && response.socket.writableLength > 0) {
    limits.count(response);
    response.setTimeout(readWithinMs, () => response.destroy());
  }
}

async function sendCompressed(response: ServerResponse, reply: Reply, body: Uint8Array, accepted: string) {
  const { chooseCoding, createEncoder } = await import("./content-coding.ts");
  const coding = chooseCoding(accepted);
  const headers = { ...reply.headers, Vary: "Accept-Encoding" };
  if (coding === undefined) {
    response.writeHead(reply.status, { ...headers, "Content-Length": body.byteLength });
    response.end(body);
    return;
  }
  response.writeHead(reply.status, { ...headers, "Content-Encoding": coding });
  const encoder = createEncoder(coding);
  encoder.on("error", () => response.destroy());
  response.once("close", () => encoder.destroy());
  encoder.pipe(response);
  encoder.end(body);
}
