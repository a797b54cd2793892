// SPDX-License-Identifier: Apache-2.0
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type Clock, deadline } from "../lib/async/clock.ts";
import { describeError } from "../lib/errors.ts";
import { type HttpAddress, requestHttp } from "../lib/net/http-client.ts";

/** A small HTTP server of the mesh. */
export interface App extends AsyncDisposable {
  readonly port: number;
  /** Paths of the last few hundred requests, oldest first. */
  readonly seenPaths: readonly string[];
}

/** The response of api: what it knows about its caller. */
export interface ApiResponse {
  readonly app: "api";
  readonly path: string;
  /** The weighted cluster of web's route that sent the request. */
  readonly variant: string;
  /** `x-forwarded-client-cert` as received; empty when the request did not come through Envoy. */
  readonly forwardedClientCert: string;
}

const keptPaths = 500;
const timeoutMs = 10_000;

export interface AppOptions {
  /** Default: a free port of loopback. */
  readonly at?: { readonly host: string; readonly port: number };
  readonly onRequest?: (path: string) => void;
}

/** api: responds with what it received. */
export function startApiApp(options: AppOptions = {}): Promise<App> {
  return startApp(options, (request, response) => {
    const body: ApiResponse = {
      app: "api",
      path: request.url ?? "/",
      variant: headerOf(request, "x-variant"),
      forwardedClientCert: headerOf(request, "x-forwarded-client-cert"),
    };
    sendJson(response, 200, body);
  });
}

/**
 * web: forwards each request to api through the Envoy beside it.
 * @param apiAt where it sends a request: to its Envoy, or to api by name if its traffic is captured
 */
export function startWebApp(
  apiAt: (path: string) => HttpAddress,
  clock: Clock,
  options: AppOptions = {},
): Promise<App> {
  return startApp(options, (request, response) => {
    void forward(apiAt(request.url ?? "/"), response, clock);
  });
}

/** Never throws: a failure is the response. */
async function forward(url: HttpAddress, response: ServerResponse, clock: Clock): Promise<void> {
  using limit = deadline(clock, timeoutMs);
  try {
    const reply = await requestHttp({ url }, limit.signal);
    response.writeHead(reply.status, { "content-type": reply.headers["content-type"] ?? "text/plain" });
    response.end(reply.body);
  } catch (error) {
    sendJson(response, 502, { app: "web", problem: `call api through Envoy: ${describeError(error)}` });
  }
}

async function startApp(
  { at = { host: "127.0.0.1", port: 0 }, onRequest }: AppOptions,
  handle: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<App> {
  const seenPaths: string[] = [];
  const server = createServer((request, response) => {
    seenPaths.push(request.url ?? "/");
    if (seenPaths.length > keptPaths) seenPaths.shift();
    onRequest?.(request.url ?? "/");
    handle(request, response);
  });
  const port = await listen(server, at);
  return {
    port,
    seenPaths,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      if (server.listening) await new Promise((resolve) => server.close(resolve));
    },
  };
}

function listen(server: Server, at: NonNullable<AppOptions["at"]>): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(at, () => {
      const address = server.address();
      if (address === null || typeof address === "string") reject(new Error("a TCP server without a port"));
      else resolve(address.port);
    });
  });
}

function headerOf(request: IncomingMessage, name: string): string {
  const value = request.headers[name];
  return Array.isArray(value) ? value.join(",") : (value ?? "");
}

function sendJson(response: ServerResponse, status: number, body: object): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(`${JSON.stringify(body)}\n`);
}
