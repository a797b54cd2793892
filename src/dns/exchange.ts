// SPDX-License-Identifier: Apache-2.0
import { randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import { connect } from "node:net";
import { ipFamily } from "../lib/net/ip-address.ts";
import { orAborted } from "../lib/async/tasks.ts";
import type { Query } from "./query.ts";
import { isReplyTo, withId } from "./response.ts";

export type Transport = "udp" | "tcp";

export interface Resolver {
  readonly host: string;
  readonly port: number;
}

/** A query that goes on to a resolver as it came. */
export interface ForwardedQuery {
  readonly query: Query;
  readonly message: Buffer;
  readonly transport: Transport;
}

/**
 * The questions that this process has under way, by local port and ID: one that comes in again has been sent round in
 * a circle.
 */
export class OwnQuestions {
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
 * Asks one resolver once, from a port and under an ID that nobody can guess; what is not the reply to it is not looked
 * at. Ends with the signal.
 * @throws what the system says when the resolver cannot be reached
 */
export function askResolver(
  resolver: Resolver,
  forwarded: ForwardedQuery,
  own: OwnQuestions,
  signal: AbortSignal,
): Promise<Buffer> {
  return forwarded.transport === "udp"
    ? askOverUdp(resolver, forwarded, own, signal)
    : askOverTcp(resolver, forwarded, own, signal);
}

async function askOverUdp(
  { host, port }: Resolver,
  { query, message }: ForwardedQuery,
  own: OwnQuestions,
  signal: AbortSignal,
): Promise<Buffer> {
  const id = randomInt(0x1_0000);
  using stack = new DisposableStack();
  const socket = createSocket(ipFamily(host) === 6 ? "udp6" : "udp4");
  stack.defer(() => socket.close());
  const replied = new Promise<Buffer>((resolve, reject) => {
    socket.on("error", reject);
    socket.on("message", (reply) => {
      if (isReplyTo(reply, query, id)) resolve(reply);
    });
    // connected, so that the system drops what comes from elsewhere and tells when nobody is there
    socket.on("connect", () => {
      if (signal.aborted) return;
      stack.use(own.add(socket.address().port, id));
      socket.send(withId(message, id), (error) => {
        if (error !== null) reject(error);
      });
    });
    socket.connect(port, host);
  });
  return await orAborted(replied, signal);
}

async function askOverTcp(
  { host, port }: Resolver,
  { query, message }: ForwardedQuery,
  own: OwnQuestions,
  signal: AbortSignal,
): Promise<Buffer> {
  const id = randomInt(0x1_0000);
  using stack = new DisposableStack();
  const socket = connect({ host, port });
  stack.defer(() => socket.destroy());
  const replied = new Promise<Buffer>((resolve, reject) => {
    let received: Buffer = Buffer.alloc(0);
    socket.on("error", reject);
    socket.on("close", () => {
      reject(new Error("the resolver closed the connection without a reply"));
    });
    socket.on("connect", () => {
      stack.use(own.add(socket.localPort ?? 0, id));
      socket.write(frame(withId(message, id)));
    });
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
      const reply = received.subarray(2, 2 + received.readUInt16BE(0));
      if (isReplyTo(reply, query, id)) resolve(reply);
      else reject(new Error("the resolver sent something else than a reply"));
    });
  });
  return await orAborted(replied, signal);
}

/** A message as it goes over TCP: behind its length. Source: RFC 1035 section 4.2.2 */
export function frame(message: Buffer): Buffer {
  const framed = Buffer.alloc(2 + message.length);
  framed.writeUInt16BE(message.length, 0);
  message.copy(framed, 2);
  return framed;
}
