// SPDX-License-Identifier: Apache-2.0
import type { IncomingMessage, RequestOptions } from "node:http";

export interface HttpRequest {
  /** Sent as it is, in its own letter case. */
  readonly method: string;
  readonly url: URL;
  readonly body: string;
  readonly headers?: Readonly<Record<string, string>>;
}

export interface HttpAnswer {
  readonly status: number;
  readonly body: string;
}

const mostRedirects = 10;

/**
 * One HTTP request with a whole answer: redirects followed, gzip unpacked. Loads what it needs when it is called.
 * @throws the system's error, or the signal's reason
 */
export async function requestHttp(request: HttpRequest, signal: AbortSignal): Promise<HttpAnswer> {
  let current = request;
  for (let redirects = 0; redirects <= mostRedirects; redirects++) {
    const message = await send(current, signal);
    const status = message.statusCode ?? 0;
    const { location } = message.headers;
    if (location === undefined || ![301, 302, 303, 307, 308].includes(status)) {
      return { status, body: await readBody(message) };
    }
    message.resume();
    const url = new URL(location, current.url);
    const keeps = status === 307 || status === 308 || current.method === "HEAD";
    current = keeps ? { ...current, url } : { ...current, method: "GET", url, body: "" };
  }
  throw new Error(`${request.url.href} redirects more than ${String(mostRedirects)} times`);
}

async function send({ method, url, body, headers: given }: HttpRequest, signal: AbortSignal): Promise<IncomingMessage> {
  const { request } = url.protocol === "https:" ? await import("node:https") : await import("node:http");
  const headers: Record<string, string> = { "accept-encoding": "gzip", ...given };
  if (body !== "") headers["content-length"] = String(Buffer.byteLength(body));
  const options: RequestOptions = { method, headers, signal, agent: false };
  return new Promise((resolve, reject) => {
    const message = request(url, options, resolve);
    message.method = method;
    message.once("error", reject);
    message.end(body === "" ? undefined : body);
  });
}

async function readBody(message: IncomingMessage): Promise<string> {
  const chunks: Buffer[] = [];
  for await (const chunk of message) {
    if (Buffer.isBuffer(chunk)) chunks.push(chunk);
  }
  const bytes = Buffer.concat(chunks);
  if (message.headers["content-encoding"] !== "gzip") return bytes.toString();
  const { gunzipSync } = await import("node:zlib");
  return gunzipSync(bytes).toString();
}
