// SPDX-License-Identifier: Apache-2.0
import type { ServerResponse } from "node:http";

/** A whole answer, small enough to be held. */
export interface Reply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

const plainText = { "Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff" };

/** A short text for a person, as servers written in Go give it. */
export function textReply(status: number, text: string): Reply {
  return { status, headers: plainText, body: `${text}\n` };
}

export const notFound = textReply(404, "404 page not found");
export const onlyLocalhost = textReply(403, "Only requests from localhost are allowed");
export const methodNotAllowed = textReply(405, "Method Not Allowed");

/** Sends a reply; a caller that has gone is no fault. */
export function sendReply(response: ServerResponse, reply: Reply): void {
  if (response.destroyed || response.headersSent) return;
  const body = typeof reply.body === "string" ? Buffer.from(reply.body) : (reply.body ?? Buffer.alloc(0));
  response.writeHead(reply.status, { ...reply.headers, Vary: "Accept-Encoding", "Content-Length": body.byteLength });
  response.end(body);
}
