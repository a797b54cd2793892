// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { connect as connectHttp2, constants } from "node:http2";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import type { ClientDuplexStream, ServiceError } from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { systemClock } from "../../../../src/lib/async/clock.ts";
import { createGrpcChannel } from "../../../../src/lib/grpc/client.ts";
import { readWhole } from "../../../../src/lib/grpc/message.ts";
import { createGrpcServer, type GrpcHandler, type GrpcServerOptions } from "../../../../src/lib/grpc/server.ts";
import { GrpcError, GrpcStatus } from "../../../../src/lib/grpc/status.ts";
import { untilAborted } from "../../../../src/lib/async/tasks.ts";
import { listenUnix } from "../../../../src/lib/net/unix-socket.ts";
import { testBudgets, testServerLimits } from "../../../support/budgets.ts";
import { eventually } from "../../../support/eventually.ts";
import { GrpcJsClient } from "../../../support/grpc-js-peer.ts";
import { temporaryDirectory } from "../../../support/temporary-directory.ts";

const path = "/test.Echo/Call";

/** Our server with one method, and a client of grpc-js. */
async function startPair(handler: GrpcHandler, options: Partial<GrpcServerOptions> = {}) {
  const stack = new AsyncDisposableStack();
  const directory = stack.use(await temporaryDirectory());
  const listener = stack.use(await listenUnix({ path: join(directory.path, "s"), mode: 0o600 }));
  const limits = testServerLimits();
  const server = stack.use(
    createGrpcServer({ methods: { [path]: handler }, limits, ...options }, { clock: systemClock }),
  );
  const client = stack.use(new GrpcJsClient(`unix:${listener.path}`));
  const pair = {
    client,
    server,
    socketPath: listener.path,
    /** Called before a connection is accepted. */
    onAccept: (_socket: Socket): unknown => undefined,
    [Symbol.asyncDispose]: () => stack.disposeAsync(),
  };
  listener.serve((socket) => {
    pair.onAccept(socket);
    server.accept(socket);
  });
  return pair;
}

const echo: GrpcHandler = {
  kind: "stream",
  async handle(call) {
    for await (const message of call.requests) {
      if (message.kind === "whole") await call.write(message.bytes);
      else await call.writeChunks(message.length, message.chunks);
    }
  },
};

test("a unary call is answered; metadata reaches the handler", async () => {
  await using pair = await startPair({
    kind: "unary",
    handle: (request, call) => Promise.resolve(Buffer.concat([request, Buffer.from(call.metadata["clusterid"] ?? "")])),
  });
  await expect(pair.client.unary(path, Buffer.from("from "), { clusterid: "c1" })).resolves.toEqual(
    Buffer.from("from c1"),
  );
});

test("a thrown status reaches the client with message and details, before and after messages", async () => {
  await using pair = await startPair({
    kind: "stream",
    async handle(call) {
      for await (const message of call.requests) {
        if (message.length > 0) await call.write(await readWhole(message));
        throw new GrpcError(GrpcStatus.failedPrecondition, "größer als 100 %", { details: Buffer.from([8, 9]) });
      }
    },
  });
  for (const text of ["", "first"]) {
    const stream = pair.client.stream(path);
    stream.resume();
    stream.write(Buffer.from(text));
    const error = await failureOf(stream);
    expect(error).toMatchObject({ code: GrpcStatus.failedPrecondition, details: "größer als 100 %" });
    expect(error.metadata.get("grpc-status-details-bin")).toEqual([Buffer.from([8, 9])]);
  }
});

test("what a handler throws beside a status is unknown, and reported", async () => {
  const failures: unknown[] = [];
  await using pair = await startPair(
    { kind: "unary", handle: () => Promise.reject(new Error("out of luck")) },
    { onFailure: (_path, error) => failures.push(error) },
  );
  const calling = pair.client.unary(path, Buffer.from(""));
  await expect(calling).rejects.toMatchObject({ code: GrpcStatus.unknown, details: "out of luck" });
  expect(failures).toEqual([new Error("out of luck")]);
});

test("an unknown method is unimplemented", async () => {
  await using pair = await startPair(echo);
  const calling = pair.client.unary("/other.Service/Call", Buffer.from(""));
  await expect(calling).rejects.toMatchObject({ code: GrpcStatus.unimplemented });
});

test("a message of 20 MB goes through a stream in both directions, unchanged", async () => {
  await using pair = await startPair(echo, {
    limits: testServerLimits(testBudgets({ "xds-request-bytes": 64 * 1024 * 1024 })),
  });
  const message = Buffer.alloc(20 * 1024 * 1024, "attache");
  const stream = pair.client.stream(path);
  stream.write(message);
  stream.end();
  const received: Buffer[] = [];
  stream.on("data", (answer: Buffer) => received.push(answer));
  await once(stream, "end");
  expect(received.map((answer) => answer.equals(message))).toEqual([true]);
});

test("a message above the limit is resource exhausted", async () => {
  await using pair = await startPair(echo, { limits: testServerLimits(testBudgets({ "xds-request-bytes": 1_000 })) });
  const calling = pair.client.unary(path, Buffer.alloc(1_001));
  await expect(calling).rejects.toMatchObject({
    code: GrpcStatus.resourceExhausted,
    details: "message of 1001 bytes: limit xds-request-bytes of 1000 bytes is reached",
  });
  await expect(pair.client.unary(path, Buffer.alloc(1_000))).resolves.toHaveLength(1_000);
});

test("the deadline ends a call and aborts its handler", async () => {
  const aborted = Promise.withResolvers<unknown>();
  await using pair = await startPair({
    kind: "unary",
    async handle(_request, call) {
      await untilAborted(call.signal);
      aborted.resolve(call.signal.reason);
      return Buffer.alloc(0);
    },
  });
  const calling = pair.client.unary(path, Buffer.from(""), {}, 100);
  await expect(calling).rejects.toMatchObject({ code: GrpcStatus.deadlineExceeded });
  await aborted.promise;
});

test("a cancelled call aborts its handler, whatever the phase", async () => {
  const ended: string[] = [];
  await using pair = await startPair({
    kind: "stream",
    async handle(call) {
      for await (const message of call.requests) {
        await call.write(await readWhole(message));
        await untilAborted(call.signal);
        ended.push("waiting");
      }
    },
  });
  const beforeFirst = pair.client.stream(path);
  beforeFirst.on("error", () => undefined);
  beforeFirst.cancel();
  const inside = pair.client.stream(path);
  inside.on("error", () => undefined);
  inside.write(Buffer.from("a"));
  await once(inside, "data");
  inside.cancel();
  await eventually(
    () => {
      expect(ended).toEqual(["waiting"]);
    },
    { withinMs: 2_000 },
  );
});

test("a server that writes to a client that does not read is held back, and goes on when it does", async () => {
  let written = 0;
  const chunk = Buffer.alloc(64 * 1024);
  await using pair = await startPair({
    kind: "stream",
    async handle(call) {
      for (; written < 1_000; written++) await call.write(chunk);
    },
  });
  // grpc-js reads ahead without a limit; so this client is ours
  await using channel = createGrpcChannel(
    { target: { kind: "unix", path: pair.socketPath }, authority: "test" },
    { clock: systemClock },
  );
  const stream = await channel.stream(path);
  let before = -1;
  await eventually(
    () => {
      const changed = before !== written;
      before = written;
      expect(changed).toBe(false);
    },
    { withinMs: 5_000, everyMs: 200 },
  );
  expect(written).toBeGreaterThan(0);
  expect(written).toBeLessThan(100);
  let received = 0;
  for await (const message of stream.responses) received += message.length;
  expect(received).toBe(1_000 * chunk.length);
});

test("a client that writes to a handler that does not read is held back", async () => {
  const go = Promise.withResolvers<undefined>();
  let received = 0;
  await using pair = await startPair({
    kind: "stream",
    async handle(call) {
      await go.promise;
      for await (const message of call.requests) received += message.length;
    },
  });
  const before = process.memoryUsage().arrayBuffers;
  const stream = pair.client.stream(path);
  stream.resume();
  for (let sent = 0; sent < 200; sent++) stream.write(Buffer.alloc(64 * 1024));
  stream.end();
  // grpc-js itself keeps what it could not send; the server must not have taken it as well
  await eventually(
    () => {
      expect(process.memoryUsage().arrayBuffers - before).toBeLessThan(20 * 1024 * 1024);
    },
    { withinMs: 2_000 },
  );
  go.resolve(undefined);
  await once(stream, "end");
  expect(received).toBe(200 * 64 * 1024);
});

test("2000 calls at once are all answered", async () => {
  await using pair = await startPair({ kind: "unary", handle: (request) => Promise.resolve(request) });
  const calls = Array.from({ length: 2_000 }, (_, index) => pair.client.unary(path, Buffer.from(String(index))));
  const answers = await Promise.all(calls);
  expect(answers.map(String)).toEqual(calls.map((_, index) => String(index)));
});

test("disposing the server ends open calls and their handlers", async () => {
  const reasons: unknown[] = [];
  const pair = await startPair({
    kind: "stream",
    async handle(call) {
      await call.write(Buffer.from("open"));
      await untilAborted(call.signal);
      reasons.push(call.signal.reason);
    },
  });
  const stream = pair.client.stream(path);
  await once(stream, "data");
  const failed = failureOf(stream);
  await pair.server[Symbol.asyncDispose]();
  expect(reasons).toHaveLength(1);
  expect((await failed).code).toBeTypeOf("number");
  await pair[Symbol.asyncDispose]();
});

test("a client that answers no pings is disconnected", async () => {
  const ended = Promise.withResolvers<undefined>();
  const { connect } = await import("node:net");
  await using directory = await temporaryDirectory();
  await using listener = await listenUnix({ path: join(directory.path, "s"), mode: 0o600 });
  const keepalive = { intervalMs: 50, timeoutMs: 50 };
  await using server = createGrpcServer({ methods: {}, limits: testServerLimits(), keepalive }, { clock: systemClock });
  listener.serve((socket) => {
    server.accept(socket);
  });
  const mute = connect(listener.path);
  mute.on("close", () => {
    ended.resolve(undefined);
  });
  mute.resume();
  mute.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0");
  await ended.promise;
});

async function failureOf(stream: ClientDuplexStream<Buffer, Buffer>): Promise<ServiceError> {
  return new Promise((resolve) =>
    stream.once("error", (error: ServiceError) => {
      resolve(error);
    }),
  );
}

const callHeaders = { ":method": "POST", ":path": path, "content-type": "application/grpc", te: "trailers" };

function openSession(socketPath: string) {
  const session = connectHttp2("http://x", { createConnection: () => connect(socketPath) });
  session.on("error", () => undefined);
  return session;
}

test("streams over the limit of a connection are rejected; those of another connection are served", async () => {
  const limits = testServerLimits(testBudgets({ "xds-streams-of-connection": 3 }));
  await using pair = await startPair(echo, { limits });
  const session = openSession(pair.socketPath);
  await once(session, "remoteSettings");
  const streams = Array.from({ length: 5 }, () => session.request(callHeaders));
  for (const stream of streams) stream.on("error", () => undefined);
  await eventually(() => expect(session.remoteSettings.maxConcurrentStreams).toBe(3), { withinMs: 1_000 });
  const call = pair.client.stream(path);
  call.on("error", () => undefined);
  call.write(Buffer.from("still served"));
  expect(await once(call, "data")).toEqual([Buffer.from("still served")]);
  call.end();
  session.destroy();
});

test("a connection over the limit closes the oldest one without a stream", async () => {
  const limits = testServerLimits(testBudgets({ "xds-connections": 2 }));
  await using pair = await startPair(echo, { limits });
  const busy = openSession(pair.socketPath);
  await once(busy, "connect");
  const stream = busy.request(callHeaders);
  stream.on("error", () => undefined);
  await once(busy, "remoteSettings");
  const idle = openSession(pair.socketPath);
  await once(idle, "remoteSettings");
  const closed = once(idle, "close");
  const call = pair.client.stream(path);
  call.on("error", () => undefined);
  call.write(Buffer.from("in its place"));
  expect(await once(call, "data")).toEqual([Buffer.from("in its place")]);
  await closed;
  expect(busy.destroyed).toBe(false);
  call.end();
  busy.destroy();
});

test("a connection whose client resets streams again and again is closed, and the others are served", async () => {
  const limits = testServerLimits(testBudgets({ "xds-resets": 20 }));
  await using pair = await startPair(echo, { limits });
  const session = openSession(pair.socketPath);
  await once(session, "remoteSettings");
  const closed = new Promise((resolve) => session.once("close", resolve));
  for (let count = 0; count < 200; count++) {
    const stream = session.request(callHeaders);
    stream.on("error", () => undefined);
    stream.close(constants.NGHTTP2_CANCEL);
  }
  await closed;
  const call = pair.client.stream(path);
  call.on("error", () => undefined);
  call.write(Buffer.from("still served"));
  expect(await once(call, "data")).toEqual([Buffer.from("still served")]);
  call.end();
});

test("parts of requests over the limit end their own call, and not the others", async () => {
  const limits = testServerLimits(testBudgets({ "xds-partial-bytes": 100_000 }));
  await using pair = await startPair(echo, { limits, chunkAboveBytes: 1e9 });
  await expect(pair.client.unary(path, Buffer.alloc(150_000))).rejects.toMatchObject({
    code: GrpcStatus.resourceExhausted,
  });
  await expect(pair.client.unary(path, Buffer.alloc(50_000))).resolves.toHaveLength(50_000);
});

/** Memory that is short when the test says so. */
function shortMemory() {
  const text = "limit container-memory-bytes of 1000 bytes is reached";
  const memory = { short: false, text, isShort: (): boolean => memory.short };
  return memory;
}

test("while memory is short, connections and streams of other clients are rejected or closed, the preferred one's are not", async () => {
  const memory = shortMemory();
  let preferred: Socket | undefined;
  const isPreferred = (socket: Socket): boolean => socket === preferred;
  await using pair = await startPair(echo, { limits: { ...testServerLimits(), memory }, isPreferred });
  // the first connection is that of the preferred client
  pair.onAccept = (socket) => (preferred ??= socket);
  const ask = (client: GrpcJsClient) => client.unary(path, Buffer.from("a"), {}, 2_000);
  await expect(ask(pair.client)).resolves.toEqual(Buffer.from("a"));
  using other = new GrpcJsClient(`unix:${pair.socketPath}`, undefined, { "grpc.enable_retries": 0 });
  await expect(ask(other)).resolves.toEqual(Buffer.from("a"));
  memory.short = true;
  await expect(ask(other)).rejects.toMatchObject({ code: GrpcStatus.unavailable });
  await expect(ask(pair.client)).resolves.toEqual(Buffer.from("a"));
  using late = new GrpcJsClient(`unix:${pair.socketPath}`, undefined, { "grpc.enable_retries": 0 });
  await expect(ask(late)).rejects.toMatchObject({ code: GrpcStatus.unavailable });
  await expect(ask(pair.client)).resolves.toEqual(Buffer.from("a"));
  memory.short = false;
  await eventually(() => expect(ask(late)).resolves.toEqual(Buffer.from("a")), { withinMs: 5_000 });
});

test("a message that grows while memory is short is rejected with the limit's name", async () => {
  const memory = shortMemory();
  await using pair = await startPair(echo, { limits: { ...testServerLimits(), memory } });
  const socket = connectHttp2("http://test", { createConnection: () => connect(pair.socketPath) });
  try {
    const stream = socket.request({ ":method": "POST", ":path": path, "content-type": "application/grpc" });
    stream.write(Buffer.from([0, 0, 0, 0, 100, 1]));
    await once(stream.session ?? socket, "remoteSettings");
    await new Promise((resolve) => socket.ping(resolve));
    memory.short = true;
    stream.write(Buffer.alloc(10));
    const [headers] = (await once(stream, "response")) as [Record<string, string>];
    expect(headers).toMatchObject({ "grpc-status": String(GrpcStatus.resourceExhausted) });
    expect(decodeURIComponent(headers["grpc-message"] ?? "")).toBe(memory.text);
  } finally {
    socket.destroy();
  }
});

test("when others have all connections, the preferred client gets the place of one", async () => {
  let preferred: Socket | undefined;
  const budgets = testBudgets({ "xds-connections": 2 });
  await using pair = await startPair(
    { kind: "stream", handle: (call) => untilAborted(call.signal) },
    { limits: testServerLimits(budgets), isPreferred: (socket) => socket === preferred },
  );
  const open = () => {
    const session = connectHttp2("http://test", { createConnection: () => connect(pair.socketPath) });
    session.on("error", () => undefined);
    const stream = session.request({ ":method": "POST", ":path": path, "content-type": "application/grpc" });
    stream.on("error", () => undefined);
    return session;
  };
  const others = [open(), open()];
  const streams = (): number | undefined => budgets.facts().find(({ name }) => name === "xds-streams")?.used;
  const withinMs = 2_000;
  await eventually(() => expect(streams()).toBe(2), { withinMs });
  const rejected = open();
  await eventually(() => expect(rejected.destroyed).toBe(true), { withinMs });
  pair.onAccept = (socket) => (preferred = socket);
  const own = open();
  await eventually(() => expect(others.map(({ destroyed }) => destroyed)).toEqual([true, false]), { withinMs });
  await eventually(() => expect(streams()).toBe(2), { withinMs });
  expect(own.destroyed).toBe(false);
  for (const session of [...others, own]) session.destroy();
});
