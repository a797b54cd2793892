// SPDX-License-Identifier: Apache-2.0
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { type Clock, deadline } from "../lib/async/clock.ts";
import { describeError } from "../lib/errors.ts";
import { loopback, requestHttp } from "../lib/net/http-client.ts";

/** A tiny HTTP server of the demo. */
export interface App extends AsyncDisposable {
  readonly port: number;
  /** Paths asked for so far, oldest first; of the last few hundred requests. */
  readonly seenPaths: readonly string[];
}

/** What api answers: what it was told about its caller. */
export interface ApiAnswer {
  readonly app: "api";
  readonly path: string;
  /** Which weight of web's route brought the request. */
  readonly variant: string;
  /** `x-forwarded-client-cert` as received; empty when the request came past Envoy. */
  readonly forwardedClientCert: string;
}

const keptPaths = 500;
const patienceMs = 10_000;

/** api: answers what it saw. */
export function startApiApp(): Promise<App> {
  return startApp((request, response) => {
    const answer: ApiAnswer = {
      app: "api",
      path: request.url ?? "/",
      variant: headerOf(request, "x-variant"),
      forwardedClientCert: headerOf(request, "x-forwarded-client-cert"),
    };
    sendJson(response, 200, answer);
  });
}

/**
 * web: asks api, through the Envoy beside it, for whatever it is asked, and passes the answer on.
 * @param outboundPort where its Envoy listens for it; asked at each request, because it is known only later
 */
export function startWebApp(outboundPort: () => number, clock: Clock): Promise<App> {
  return startApp((request, response) => {
    void passOn(outboundPort(), request, response, clock);
  });
}

/** Never throws: what goes wrong on the way is the answer. */
async function passOn(port: number, request: IncomingMessage, response: ServerResponse, clock: Clock): Promise<void> {
  using limit = deadline(clock, patienceMs);
  try {
    const answer = await requestHttp({ url: loopback(port, request.url ?? "/") }, limit.signal);
    response.writeHead(answer.status, { "content-type": answer.headers["content-type"] ?? "text/plain" });
    response.end(answer.body);
  } catch (error) {
    sendJson(response, 502, { app: "web", problem: `ask api through Envoy: ${describeError(error)}` });
  }
}

async function startApp(handle: (request: IncomingMessage, response: ServerResponse) => void): Promise<App> {
  const seenPaths: string[] = [];
  const server = createServer((request, response) => {
    seenPaths.push(request.url ?? "/");
    if (seenPaths.length > keptPaths) seenPaths.shift();
    handle(request, response);
  });
  const port = await listen(server);
  return {
    port,
    seenPaths,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      if (server.listening) await new Promise((resolve) => server.close(resolve));
    },
  };
}

function listen(server: Server): Promise<number> {
  return new Promise((resolve, reject) => {
    server.once("error", reject);
    server.listen(0, "127.0.0.1", () => {
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
