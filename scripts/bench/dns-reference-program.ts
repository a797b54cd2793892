// SPDX-License-Identifier: Apache-2.0
// The reference of the DNS suite, the smallest servers of `node:dgram` that do the same: one has a ready response for each
// question, one passes queries on to the resolver. With the argument `resolver` it is the resolver instead. Sends its
// ports to the parent, and for each message from it how many queries it has seen.
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { encodeQuery, encodeReply } from "../../test/support/dns-messages.ts";
import { addressOf, forwardedAddress, hostOf, resolver, services } from "./dns-names.ts";

const headerBytes = 12;
const sockets: Socket[] = [];
let seen = 0;

async function listen(host: string, port: number, reply: (socket: Socket) => Parameters<Socket["on"]>[1]) {
  const socket = createSocket("udp4");
  sockets.push(socket);
  socket.on("message", reply(socket));
  socket.bind(port, host);
  await once(socket, "listening");
  return socket.address().port;
}

function serveNames(): Promise<number> {
  const responses = new Map<string, Buffer>();
  for (let index = 0; index < services; index++) {
    const query = encodeQuery(hostOf(index));
    responses.set(query.toString("latin1", headerBytes), encodeReply(query, [addressOf(index)]));
  }
  return listen("127.0.0.1", 0, (socket) => (query: Buffer, { port, address }: { port: number; address: string }) => {
    const response = responses.get(query.toString("latin1", headerBytes));
    if (response === undefined) return;
    const own = Buffer.from(response);
    query.copy(own, 0, 0, 2);
    socket.send(own, port, address);
  });
}

async function forward(): Promise<number> {
  const waiting = new Map<number, { readonly id: number; readonly port: number; readonly address: string }>();
  const upstream = createSocket("udp4");
  sockets.push(upstream);
  let lastId = 0;
  const port = await listen("127.0.0.1", 0, (socket) => {
    upstream.on("message", (response) => {
      const to = waiting.get(response.readUInt16BE(0));
      if (to === undefined) return;
      waiting.delete(response.readUInt16BE(0));
      response.writeUInt16BE(to.id, 0);
      socket.send(response, to.port, to.address);
    });
    return (query: Buffer, from: { port: number; address: string }) => {
      lastId = (lastId + 1) & 0xffff;
      waiting.set(lastId, { id: query.readUInt16BE(0), port: from.port, address: from.address });
      query.writeUInt16BE(lastId, 0);
      upstream.send(query, resolver.port, resolver.host);
    };
  });
  return port;
}

function serveResolver(): Promise<number> {
  return listen(resolver.host, resolver.port, (socket) => {
    return (query: Buffer, { port, address }: { port: number; address: string }) => {
      seen++;
      socket.send(encodeReply(query, [forwardedAddress]), port, address);
    };
  });
}

const ports = process.argv[2] === "resolver" ? [await serveResolver()] : [await serveNames(), await forward()];
process.send?.(ports);
process.on("message", () => process.send?.(seen));
process.once("disconnect", () => {
  for (const socket of sockets) socket.close();
});
