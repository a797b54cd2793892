// SPDX-License-Identifier: Apache-2.0
import { createConnection, createServer } from "node:net";
import { once } from "node:events";
import { expect, test } from "vitest";
import { systemClock } from "../../../../src/lib/async/clock.ts";
import { createGrpcChannel } from "../../../../src/lib/grpc/client.ts";
import {
  type GrpcJsLimits,
  listenGrpcJs,
  type MessageStream,
  type ServerMethod,
} from "../../../../src/lib/grpc/grpc-js-server.ts";
import { readWhole } from "../../../../src/lib/grpc/message.ts";
import { GrpcError, GrpcStatus } from "../../../../src/lib/grpc/status.ts";
import type { Budgets } from "../../../../src/model/limits.ts";
import { testBudgets } from "../../../support/budgets.ts";
import { eventually } from "../../../support/eventually.ts";

const path = "/test.Echo/Call";

/** The server with one method, and the agent's client. */
async function startPair(method: ServerMethod, limits?: GrpcJsLimits) {
  const stack = new AsyncDisposableStack();
  const options = {
    host: "127.0.0.1",
    port: 0,
    tls: undefined,
    methods: { [path]: method },
    ...(limits && { limits }),
  };
  const server = stack.use(await listenGrpcJs(options));
  const target = { kind: "tcp", host: "127.0.0.1", port: server.port } as const;
  const channel = stack.use(createGrpcChannel({ target, authority: "test.example" }, { clock: systemClock }));
  return { server, channel, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

test("a unary handler gets request and metadata, and its error is the status of the call", async () => {
  await using pair = await startPair({
    kind: "unary",
    handle(request) {
      const { bytes } = request;
      if (request.metadata("authorization") === undefined) throw new GrpcError(GrpcStatus.unauthenticated, "no token");
      if (bytes.length === 0) throw new Error("empty");
      return bytes;
    },
  });
  const options = { metadata: { authorization: "Bearer t" } };
  await expect(pair.channel.unary(path, Buffer.from("hello"), options)).resolves.toEqual(Buffer.from("hello"));
  const rejected = pair.channel.unary(path, Buffer.from("hello"));
  await expect(rejected).rejects.toMatchObject({ status: GrpcStatus.unauthenticated, detail: "no token" });
  const failed = pair.channel.unary(path, Buffer.alloc(0), options);
  await expect(failed).rejects.toMatchObject({ status: GrpcStatus.unknown, detail: "empty" });
});

test("a stream sends messages of any size in order, and ends with OK after the handler", async () => {
  await using pair = await startPair({
    kind: "stream",
    async handle(call: MessageStream) {
      for await (const request of call.requests) await call.write(request);
      await call.write(Buffer.from("last"));
    },
  });
  const stream = await pair.channel.stream(path);
  const sent = [Buffer.from("a"), Buffer.alloc(1_000_000, 7), Buffer.from("b")];
  for (const message of sent) await stream.write(message);
  await stream.end();
  const received: Buffer[] = [];
  for await (const message of stream.responses) received.push(Buffer.from(await readWhole(message)));
  expect(received).toEqual([...sent, Buffer.from("last")]);
});

test("a client that cancels ends the requests, and a write to it does not wait", async () => {
  const done = Promise.withResolvers<number>();
  await using pair = await startPair({
    kind: "stream",
    async handle(call: MessageStream) {
      let received = 0;
      for await (const _ of call.requests) received++;
      // more than the flow control of a connection lets through
      for (let count = 0; count < 5; count++) await call.write(Buffer.alloc(1_000_000));
      done.resolve(received);
    },
  });
  const cancel = new AbortController();
  const stream = await pair.channel.stream(path, { signal: cancel.signal });
  await stream.write(Buffer.from("a"));
  cancel.abort(new Error("enough"));
  expect(await done.promise).toBeLessThanOrEqual(1);
});

test("a disposed server has closed its port and its calls", async () => {
  const started = Promise.withResolvers<undefined>();
  await using pair = await startPair({
    kind: "stream",
    async handle({ requests }: MessageStream) {
      started.resolve(undefined);
      for await (const _ of requests);
    },
  });
  const stream = await pair.channel.stream(path);
  await stream.write(Buffer.from("a"));
  await started.promise;
  await pair.server[Symbol.asyncDispose]();
  await pair.server[Symbol.asyncDispose]();
  const ended = async (): Promise<void> => {
    for await (const _ of stream.responses);
  };
  await expect(ended()).rejects.toThrow();
  await eventually(
    async () => {
      const next = createServer().listen(pair.server.port, "127.0.0.1");
      await once(next, "listening");
      next.close();
    },
    { withinMs: 1_000 },
  );
});

test("a taken address is an error", async () => {
  await using pair = await startPair({ kind: "unary", handle: ({ bytes }) => bytes });
  const { port } = pair.server;
  await expect(listenGrpcJs({ host: "127.0.0.1", port, tls: undefined, methods: {} })).rejects.toThrow(/EADDRINUSE/);
});

/** Of a server for clients that are not trusted. */
function limitsOf(budgets: Budgets): GrpcJsLimits {
  return {
    connections: budgets.of("embedded-ca-connections"),
    calls: budgets.of("embedded-ca-calls-of-connection"),
    requestBytes: budgets.of("embedded-ca-request-bytes"),
  };
}

const echo: ServerMethod = { kind: "unary", handle: ({ bytes }) => bytes };

test("idle connections above the limit give way to new ones, the oldest first", async () => {
  const budgets = testBudgets({ "embedded-ca-connections": 2 });
  await using pair = await startPair(echo, limitsOf(budgets));
  const [first, second] = [1, 2].map(() => createConnection(pair.server.port, "127.0.0.1").resume());
  if (first === undefined || second === undefined) throw new Error("no connection");
  await Promise.all([once(first, "connect"), once(second, "connect")]);
  const closed = once(first, "close");
  await expect(pair.channel.unary(path, Buffer.from("a"))).resolves.toEqual(Buffer.from("a"));
  await closed;
  expect(second.destroyed).toBe(false);
  second.destroy();
  expect(budgets.of("embedded-ca-connections").used).toBeLessThanOrEqual(2);
});

test("a connection with a call stays while there is another one", async () => {
  await using pair = await startPair(echo, limitsOf(testBudgets({ "embedded-ca-connections": 2 })));
  const call = await pair.channel.stream(path);
  const sockets = [1, 2, 3].map(() => createConnection(pair.server.port, "127.0.0.1").resume());
  await Promise.all(sockets.slice(0, 2).map((socket) => once(socket, "close")));
  await call.write(Buffer.from("a"));
  await call.end();
  const received: string[] = [];
  for await (const message of call.responses) received.push(Buffer.from(await readWhole(message)).toString());
  expect(received).toEqual(["a"]);
  for (const socket of sockets) socket.destroy();
});

test("calls above the limit of all connections are rejected, and others served when one has ended", async () => {
  const budgets = testBudgets({ "embedded-ca-calls": 1, "embedded-ca-calls-of-connection": 2 });
  await using pair = await startPair(echo, limitsOf(budgets));
  const open = await pair.channel.stream(path);
  const text = "limit embedded-ca-calls of 1 items is reached";
  const rejected = { status: GrpcStatus.resourceExhausted, detail: text };
  await expect(pair.channel.unary(path, Buffer.from("a"))).rejects.toMatchObject(rejected);
  open[Symbol.dispose]();
  await eventually(
    async () => {
      await expect(pair.channel.unary(path, Buffer.from("a"))).resolves.toEqual(Buffer.from("a"));
    },
    { withinMs: 1_000 },
  );
  expect(budgets.of("embedded-ca-calls").used).toBe(0);
});

test("a request above the limit is rejected", async () => {
  await using pair = await startPair(echo, limitsOf(testBudgets({ "embedded-ca-request-bytes": 100 })));
  await expect(pair.channel.unary(path, Buffer.alloc(101))).rejects.toMatchObject({
    status: GrpcStatus.resourceExhausted,
  });
  await expect(pair.channel.unary(path, Buffer.alloc(100))).resolves.toHaveLength(100);
});
