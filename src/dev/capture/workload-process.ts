// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { get } from "node:http";
import { connect, createServer, Server, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { type Clock, deadline } from "../../lib/async/clock.ts";
import { orAborted } from "../../lib/async/tasks.ts";
import { describeError } from "../../lib/errors.ts";
import { formatHostPort } from "../../lib/net/host-port.ts";
import { type App, startApiApp, startWebApp } from "../apps.ts";
import { attemptPlainHttp } from "../prove-mtls.ts";
import { apiService } from "./addresses.ts";
import {
  type CapturedCall,
  type Endpoint,
  type FromWorkload,
  parseToWorkload,
  type WorkloadRequest,
} from "./messages.ts";

const timeoutMs = 5_000;

/**
 * A process in the network namespace of a captured workload: it forwards connections into and out of the namespace, or
 * it is the application. It ends with its channel, so that it does not outlive `attache dev`.
 */
export async function runWorkloadProcess(clock: Clock, stop: AbortSignal): Promise<void> {
  const apps: App[] = [];
  const tell = (message: FromWorkload, socket?: Server): void => {
    if (process.connected) process.send?.(message, socket, {}, () => socket?.close());
  };
  const handle = async (request: WorkloadRequest, socket: unknown): Promise<{ value?: unknown; socket?: Server }> => {
    using limit = deadline(clock, timeoutMs, stop);
    switch (request.kind) {
      case "forward":
        if (socket instanceof Server) forwardConnections(socket, request.to);
        return {};
      case "listen":
        return { socket: await listenOn(request.port) };
      case "start-app": {
        const options = {
          at: { host: "0.0.0.0", port: request.port },
          onRequest: (path: string): void => {
            tell({ kind: "seen", path });
          },
        };
        const start = request.workload === "api" ? startApiApp(options) : startWebApp(callByName, clock, options);
        apps.push(await start);
        return {};
      }
      case "call-api":
        return { value: await callApi(request.path, limit.signal) };
      case "attempt-plain-http":
        return { value: await attemptPlainHttp(request.to, limit.signal) };
    }
  };
  process.on("message", (message: unknown, socket: unknown) => {
    const { id, ...request } = parseToWorkload(message);
    handle(request, socket).then(
      (reply) => {
        tell({ kind: "reply", id, value: reply.value }, reply.socket);
      },
      (error: unknown) => {
        tell({ kind: "failed", id, problem: describeError(error) });
      },
    );
  });
  const disconnected = Promise.withResolvers<undefined>();
  process.once("disconnect", () => {
    disconnected.resolve(undefined);
  });
  tell({ kind: "started" });
  await orAborted(disconnected.promise, stop).catch(() => undefined);
  await Promise.all(apps.map((app) => app[Symbol.asyncDispose]()));
}

/** The application knows api by its name only. */
function callByName(path: string): Endpoint & { readonly path: string } {
  return { host: apiService.name, port: apiService.port, path };
}

async function listenOn(port: number): Promise<Server> {
  const server = createServer();
  server.listen({ host: "127.0.0.1", port });
  await once(server, "listening");
  return server;
}

/** Each connection to the listener goes on to `to`; the end of one side is the end of the other. */
export function forwardConnections(server: Server, to: Endpoint): Set<Socket> {
  const open = new Set<Socket>();
  server.on("connection", (inbound) => {
    const outbound = connect(to);
    for (const [one, other] of [
      [inbound, outbound],
      [outbound, inbound],
    ] as const) {
      open.add(one);
      one.on("error", () => other.destroy());
      one.on("close", () => {
        open.delete(one);
        other.destroySoon();
      });
      one.pipe(other);
    }
  });
  return open;
}

/** With Node's plain client, which knows nothing of Envoy. */
function callApi(path: string, signal: AbortSignal): Promise<CapturedCall> {
  const { name, port } = apiService;
  return new Promise((resolve, reject) => {
    let connectedTo = "";
    const request = get({ host: name, port, path, signal, agent: false }, (response) => {
      const resolveWith = (body: string): void => {
        resolve({ connectedTo, status: response.statusCode ?? 0, body });
      };
      text(response).then(resolveWith, reject);
    });
    request.on("error", reject);
    request.on("socket", (socket) => {
      socket.once("connect", () => {
        connectedTo = formatHostPort({ host: socket.remoteAddress ?? "", port: socket.remotePort ?? 0 });
      });
    });
  });
}
