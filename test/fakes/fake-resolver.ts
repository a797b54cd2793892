// SPDX-License-Identifier: Apache-2.0
import { createSocket } from "node:dgram";
import { createServer, type Socket } from "node:net";
import { freePorts } from "../support/free-ports.ts";
import { decodeQuestion, encodeReply } from "../support/dns-messages.ts";

export interface SeenQuery {
  readonly transport: "udp" | "tcp";
  readonly name: string;
  readonly type: number;
  /** Where it came from. */
  readonly port: number;
  readonly bytes: Buffer;
}

/** What the resolver says; undefined is silence. Several replies are sent one after another. */
export type ResolverBehaviour = (query: Buffer, seen: SeenQuery) => Buffer | readonly Buffer[] | undefined;

/** A resolver over UDP and TCP that does what it is told. */
export interface FakeResolver extends AsyncDisposable {
  readonly host: string;
  readonly port: number;
  readonly seen: SeenQuery[];
  behave(behaviour: ResolverBehaviour): void;
}

/** Answers with an address for the names that it has, else that there is no such name. @param ttl of the addresses */
export function answering(names: Readonly<Record<string, readonly string[]>> = {}, ttl = 60): ResolverBehaviour {
  return (query, { name, type }) => {
    const known = names[name.toLowerCase()];
    return encodeReply(query, type === 1 ? (known ?? []) : [], known === undefined ? 0x8183 : 0x8180, ttl);
  };
}

/** @param flags of the reply, such as 0x8182 for SERVFAIL */
export function failing(flags: number): ResolverBehaviour {
  return (query) => encodeReply(query, [], flags);
}

export const silent: ResolverBehaviour = () => undefined;

export async function startFakeResolver(
  behaviour: ResolverBehaviour,
  host = "127.0.0.1",
  port?: number,
): Promise<FakeResolver> {
  const [bound = 0] = port === undefined ? await freePorts(1) : [port];
  let current = behaviour;
  const seen: SeenQuery[] = [];
  const replies = (bytes: Buffer, transport: "udp" | "tcp", from: number): readonly Buffer[] => {
    const query = { transport, ...decodeQuestion(bytes), port: from, bytes };
    seen.push(query);
    const said = current(bytes, query) ?? [];
    return Buffer.isBuffer(said) ? [said] : said;
  };
  const udp = createSocket(host.includes(":") ? "udp6" : "udp4");
  udp.on("message", (bytes, { address, port: from }) => {
    for (const reply of replies(bytes, "udp", from)) udp.send(reply, from, address);
  });
  await new Promise<void>((resolve) => udp.bind(bound, host, resolve));
  const sockets = new Set<Socket>();
  const tcp = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => sockets.delete(socket));
    let received: Buffer = Buffer.alloc(0);
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (received.length < 2 || received.length < 2 + received.readUInt16BE(0)) return;
      for (const reply of replies(received.subarray(2, 2 + received.readUInt16BE(0)), "tcp", socket.remotePort ?? 0)) {
        const length = Buffer.alloc(2);
        length.writeUInt16BE(reply.length);
        socket.write(Buffer.concat([length, reply]));
      }
      received = Buffer.alloc(0);
    });
  });
  await new Promise<void>((resolve) => tcp.listen(bound, host, resolve));
  return {
    host,
    port: bound,
    seen,
    behave: (next) => {
      current = next;
    },
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) =>
        udp.close(() => {
          resolve();
        }),
      );
      await new Promise((resolve) => tcp.close(resolve));
    },
  };
}
