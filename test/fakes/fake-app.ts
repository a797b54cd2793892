// SPDX-License-Identifier: Apache-2.0
import { createServer, type IncomingMessage, type RequestListener, type Server, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

/** One request as the application saw it. */
export interface SeenRequest {
  readonly method: string;
  readonly url: string;
  readonly rawHeaders: readonly string[];
  readonly remoteAddress: string;
}

export interface FakeApp extends AsyncDisposable {
  readonly port: number;
  readonly requests: readonly SeenRequest[];
}

/** A small application: a handler decides how each request is answered, be it well or badly. */
export async function startFakeApp(handler: RequestListener, host = "127.0.0.1", port = 0): Promise<FakeApp> {
  const requests: SeenRequest[] = [];
  const server: Server = createServer((request: IncomingMessage, response: ServerResponse) => {
    requests.push({
      method: request.method ?? "",
      url: request.url ?? "",
      rawHeaders: request.rawHeaders,
      remoteAddress: request.socket.remoteAddress ?? "",
    });
    response.on("error", () => undefined);
    handler(request, response);
  });
  await new Promise<void>((resolve, reject) => {
    server.once("error", reject);
    server.listen(port, host, resolve);
  });
  return {
    port: (server.address() as AddressInfo).port,
    requests,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  };
}

/** Answers each path with what stands in the table; others with 404. */
export function routes(table: Readonly<Record<string, RequestListener>>): RequestListener {
  return (request, response) => {
    const path = (request.url ?? "").split("?")[0] ?? "";
    const handler = table[path];
    if (handler === undefined) response.writeHead(404).end("not here");
    else handler(request, response);
  };
}

export function answer(status: number, body = "", headers: Readonly<Record<string, string>> = {}): RequestListener {
  return (_request, response) => {
    response.writeHead(status, headers).end(body);
  };
}
