// SPDX-License-Identifier: Apache-2.0
import type { IncomingMessage, ServerResponse } from "node:http";

/** A whole answer, small enough to be held. */
export interface Reply {
  readonly status: number;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: string | Uint8Array;
}

/** Where a reply goes, and what was asked. */
export interface ReplyTo {
  readonly request: IncomingMessage;
  readonly response: ServerResponse;
}

const plainText = { "Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff" };
/** Shorter bodies are sent plain. */
const minCodedBytes = 1_024;
/** A caller that has not taken its answer by then is let go. */
const takenWithinMs = 30_000;

/** A short text for a person, as servers written in Go give it. */
export function textReply(status: number, text: string): Reply {
  return { status, headers: plainText, body: `${text}\n` };
}

/** Text that a header may hold: printable ASCII on one line, 256 characters at most. */
export function headerText(text: string): string {
  return text.replaceAll(/[^\x20-\x7e]+/g, " ").slice(0, 256);
}

export const notFound = textReply(404, "404 page not found");
export const onlyLocalhost = textReply(403, "Only requests from localhost are allowed");
export const methodNotAllowed = textReply(405, "Method Not Allowed");

/** Sends a reply, compressed where it is long and the caller likes that; a caller that has gone is no fault. */
export function sendReply({ request, response }: ReplyTo, reply: Reply): void {
  if (response.destroyed || response.headersSent) return;
  const { status, headers, body = "" } = reply;
  const bytes = typeof body === "string" ? Buffer.byteLength(body) : body.byteLength;
  const accepted = request.headers["accept-encoding"];
  if (bytes >= minCodedBytes && typeof accepted === "string" && request.method !== "HEAD") {
    sendCoded(response, reply, Buffer.from(body), accepted).catch(() => response.destroy());
    return;
  }
  const length = status === 204 ? undefined : { "Content-Length": bytes };
  response.writeHead(status, { ...headers, Vary: "Accept-Encoding", ...length });
  // a text leaves in one write with the header, nothing at all in none of its own
  if (bytes === 0) response.end();
  else response.end(body);
  if (response.socket !== null && response.socket.writableLength > 0) {
    response.setTimeout(takenWithinMs, () => response.destroy());
  }
}

async function sendCoded(response: ServerResponse, reply: Reply, body: Uint8Array, accepted: string): Promise<void> {
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
  encoder.pipe(response);
  encoder.end(body);
}
