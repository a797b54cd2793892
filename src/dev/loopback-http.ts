// SPDX-License-Identifier: Apache-2.0
import { Agent, type IncomingHttpHeaders, request } from "node:http";

export interface LoopbackAnswer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: string;
}

export interface LoopbackRequest {
  readonly port: number;
  readonly path: string;
  readonly method?: "GET" | "POST";
  readonly headers?: Readonly<Record<string, string>>;
}

/** A connection for each request: what is observed is the server as it is now, not a connection from before. */
const freshConnections = new Agent({ keepAlive: false });

/**
 * One HTTP/1.1 request to a server on this machine.
 * @throws the system's error when there is no answer; the signal's reason when it aborts
 */
export function askLoopback(what: LoopbackRequest, signal: AbortSignal): Promise<LoopbackAnswer> {
  const { port, path, method = "GET", headers = {} } = what;
  return new Promise((resolve, reject) => {
    const options = { host: "127.0.0.1", port, path, method, headers, signal, agent: freshConnections };
    const outgoing = request(options, (incoming) => {
      const chunks: Buffer[] = [];
      incoming.on("data", (chunk: Buffer) => chunks.push(chunk));
      incoming.on("error", reject);
      incoming.on("end", () => {
        const body = Buffer.concat(chunks).toString("utf8");
        resolve({ status: incoming.statusCode ?? 0, headers: incoming.headers, body });
      });
    });
    outgoing.on("error", reject);
    outgoing.end();
  });
}
