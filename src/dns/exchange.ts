// SPDX-License-Identifier: Apache-2.0
import { randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import { connect } from "node:net";
import { orAborted } from "../lib/async/tasks.ts";
import type { HostPort } from "../lib/net/host-port.ts";
import { ipFamily } from "../lib/net/ip-address.ts";
import { frame, unframe, withId } from "./message.ts";
import type { Query } from "./query.ts";
import { isResponseTo } from "./response.ts";

export type Transport = "udp" | "tcp";

/** A query that is forwarded to a resolver as it came. */
export interface ForwardedQuery {
  readonly query: Query;
  readonly message: Buffer;
  readonly transport: Transport;
}

/**
 * The queries of this process that have no response yet, by local port and ID. A query that arrives with the same port
 * and ID has been sent in a loop.
 */
export class OpenQueries {
  readonly #open = new Set<string>();

  has(port: number, id: number): boolean {
    return this.#open.has(key(port, id));
  }

  add(port: number, id: number): Disposable {
    const text = key(port, id);
    this.#open.add(text);
    return { [Symbol.dispose]: () => this.#open.delete(text) };
  }
}

function key(port: number, id: number): string {
  return `${String(port)}/${String(id)}`;
}

/**
 * Sends a query to one resolver once, from a random port with a random ID, and waits for the response. Anything that is
 * not the response is ignored.
 * @throws the system's error when the resolver is unreachable; the signal's reason
 */
export function queryResolver(
  resolver: HostPort,
  forwarded: ForwardedQuery,
  open: OpenQueries,
  signal: AbortSignal,
): Promise<Buffer> {
  return forwarded.transport === "udp"
    ? queryOverUdp(resolver, forwarded, open, signal)
    : queryOverTcp(resolver, forwarded, open, signal);
}

async function queryOverUdp(
  { host, port }: HostPort,
  { query, message }: ForwardedQuery,
  open: OpenQueries,
  signal: AbortSignal,
): Promise<Buffer> {
  const id = randomInt(0x1_0000);
  using stack = new DisposableStack();
  const socket = createSocket(ipFamily(host) === 6 ? "udp6" : "udp4");
  stack.defer(() => socket.close());
  const response = new Promise<Buffer>((resolve, reject) => {
    socket.on("error", reject);
    socket.on("message", (received) => {
      if (isResponseTo(received, query, id)) resolve(received);
    });
    // Connected: the kernel drops packets from other addresses, and reports a closed port.
    socket.on("connect", () => {
      if (signal.aborted) return;
      stack.use(open.add(socket.address().port, id));
      socket.send(withId(message, id), (error) => {
        if (error !== null) reject(error);
      });
    });
    socket.connect(port, host);
  });
  return await orAborted(response, signal);
}

async function queryOverTcp(
  { host, port }: HostPort,
  { query, message }: ForwardedQuery,
  open: OpenQueries,
  signal: AbortSignal,
): Promise<Buffer> {
  const id = randomInt(0x1_0000);
  using stack = new DisposableStack();
  const socket = connect({ host, port });
  stack.defer(() => socket.destroy());
  const response = new Promise<Buffer>((resolve, reject) => {
    let received: Buffer = Buffer.alloc(0);
    socket.on("error", reject);
    socket.on("close", () => {
      reject(new Error("the resolver closed the connection without a response"));
    });
    socket.on("connect", () => {
      stack.use(open.add(socket.localPort ?? 0, id));
      socket.write(frame(withId(message, id)));
    });
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      const framed = unframe(received);
      if (framed === undefined) return;
      if (isResponseTo(framed.message, query, id)) resolve(framed.message);
      else reject(new Error("the resolver sent something other than the response"));
    });
  });
  return await orAborted(response, signal);
}
