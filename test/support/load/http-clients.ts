// SPDX-License-Identifier: Apache-2.0
import { Agent, type ClientRequest, type IncomingMessage, request } from "node:http";
import { type ClientHttp2Session, connect, constants } from "node:http2";

/** A way in which clients use connections. */
export interface LoadClient extends AsyncDisposable {
  readonly name: string;
  /** One request to a port of loopback. Throws for anything but a whole 200 answer. */
  request(port: number): Promise<void>;
}

/** A new connection for each request. */
export function connectingClient(): LoadClient {
  return {
    name: "new connection",
    request: (port) => get({ port, agent: false, headers: { connection: "close" } }),
    [Symbol.asyncDispose]: () => Promise.resolve(),
  };
}

/** Connections that are kept and used again. */
export function keepAliveClient(maxSockets = 20): LoadClient {
  const agent = new Agent({ keepAlive: true, maxSockets });
  return {
    name: "keep-alive",
    request: (port) => get({ port, agent }),
    [Symbol.asyncDispose]() {
      agent.destroy();
      return Promise.resolve();
    },
  };
}

/** A stream that nobody has looked at, often one that had not left this process when the server asked to go away. */
class RefusedStreamError extends Error {}

/**
 * One HTTP/2 connection a port; a new one once the server asks to go away. A refused stream goes to the new connection,
 * as every client of the protocol does. Source: RFC 9113 section 8.7
 */
export function http2Client(): LoadClient {
  const sessions = new Map<number, ClientHttp2Session>();
  const open = new Set<ClientHttp2Session>();
  const sessionTo = (port: number): ClientHttp2Session => {
    const known = sessions.get(port);
    if (known !== undefined && !known.closed && !known.destroyed) return known;
    const session = connect(`http://127.0.0.1:${String(port)}`);
    const forget = (): void => {
      if (sessions.get(port) === session) sessions.delete(port);
    };
    session.on("goaway", forget);
    session.on("error", forget);
    session.on("close", () => {
      forget();
      open.delete(session);
    });
    sessions.set(port, session);
    open.add(session);
    return session;
  };
  const once = (port: number): Promise<void> =>
    new Promise((resolve, reject) => {
      const stream = sessionTo(port).request({ ":path": "/" });
      let status: number | undefined;
      stream.on("response", (headers) => {
        status = headers[":status"];
      });
      stream.on("error", (error) => {
        reject(stream.rstCode === constants.NGHTTP2_REFUSED_STREAM ? new RefusedStreamError() : error);
      });
      stream.on("end", () => {
        if (status === 200) resolve();
        else reject(new Error(`answered ${String(status)}`));
      });
      stream.on("close", () => {
        reject(new Error("the stream closed without an answer"));
      });
      stream.resume();
    });
  return {
    name: "HTTP/2",
    async request(port) {
      try {
        await once(port);
      } catch (error) {
        if (!(error instanceof RefusedStreamError)) throw error;
        await once(port);
      }
    },
    [Symbol.asyncDispose]() {
      for (const session of open) session.destroy();
      return Promise.resolve();
    },
  };
}

/**
 * As many connections as asked for, all kept open and used in turn; one that the server closes between two requests is
 * replaced by a new one at its next turn.
 */
export function manyConnectionsClient(connections: number): LoadClient {
  const agents = Array.from({ length: connections }, () => new Agent({ keepAlive: true, maxSockets: 1 }));
  let turn = 0;
  return {
    name: `${String(connections)} connections`,
    request(port) {
      turn = (turn + 1) % agents.length;
      const agent = agents[turn];
      return get({ port, ...(agent === undefined ? {} : { agent }) });
    },
    [Symbol.asyncDispose]() {
      for (const agent of agents) agent.destroy();
      return Promise.resolve();
    },
  };
}

interface Get {
  readonly port: number;
  readonly agent?: Agent | false;
  readonly headers?: Readonly<Record<string, string>>;
}

function get(options: Get): Promise<void> {
  return new Promise((resolve, reject) => {
    const outgoing: ClientRequest = request({ host: "127.0.0.1", path: "/", ...options }, (answer: IncomingMessage) => {
      answer.on("error", reject);
      answer.on("end", () => {
        if (answer.statusCode === 200 && answer.complete) resolve();
        else reject(new Error(`answered ${String(answer.statusCode)}`));
      });
      answer.resume();
    });
    outgoing.on("error", reject);
    outgoing.end();
  });
}
