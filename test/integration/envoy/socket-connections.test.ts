// SPDX-License-Identifier: Apache-2.0
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { expect, test } from "vitest";
import { SocketConnections } from "../../../src/envoy/socket-connections.ts";
import { eventually } from "../../support/eventually.ts";

const never = new AbortController().signal;

async function listenOn(host: string): Promise<{ readonly server: Server; readonly port: number }> {
  const server = createServer().listen(0, host);
  await once(server, "listening");
  return { server, port: (server.address() as AddressInfo).port };
}

async function connectTo(port: number, host: string): Promise<Socket> {
  const socket = connect(port, host);
  await once(socket, "connect");
  return socket;
}

/** This process in Envoy's place: two listeners, one of them for metrics, with two connections each. */
async function serve(host: string) {
  await using stack = new AsyncDisposableStack();
  const [inbound, metrics] = [await listenOn(host), await listenOn(host)];
  const sockets: Socket[] = [];
  for (const { server, port } of [inbound, metrics]) {
    stack.defer(async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    });
    server.on("connection", (socket) => sockets.push(socket.on("error", () => undefined)));
    for (let each = 0; each < 2; each++) sockets.push(await connectTo(port, host));
  }
  const admin = {
    request: () =>
      Promise.resolve(`virtualInbound::${host.includes(":") ? `[${host}]` : host}:${String(inbound.port)}\n`),
  };
  const owned = stack.move();
  return {
    sockets,
    connections: new SocketConnections(admin, [metrics.port]),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

test.each(["127.0.0.1", "::1"])(
  "connections on %s are counted by listener, those for metrics left out",
  async (host) => {
    await using served = await serve(host);
    const count = () => served.connections.count(process.pid, never);
    expect(await count()).toEqual([{ listener: "virtualInbound", connections: 2 }]);
    for (const socket of served.sockets) socket.destroy();
    await eventually(async () => expect(await count()).toEqual([]), { withinMs: 2_000 });
  },
);

test("it is unknown where the process has no listener, is gone, or serves QUIC", async () => {
  await using served = await serve("127.0.0.1");
  expect(await served.connections.count(2 ** 22, never)).toBeUndefined();
  const quic = createSocket("udp4").bind(0, "127.0.0.1");
  await once(quic, "listening");
  await using another = await serve("127.0.0.1");
  expect(await another.connections.count(process.pid, never)).toBeUndefined();
  quic.close();
});
