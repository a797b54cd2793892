// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { connect, createServer as createHttp2Server, type ServerHttp2Stream } from "node:http2";
import { createServer } from "node:net";
import { join } from "node:path";
import * as grpc from "@grpc/grpc-js";
import { expect, test } from "vitest";
import { systemClock } from "../../../../src/lib/async/clock.ts";
import { createGrpcChannel, type GrpcChannelOptions, type GrpcTarget } from "../../../../src/lib/grpc/client.ts";
import { type IncomingMessage, readWhole } from "../../../../src/lib/grpc/message.ts";
import { ClientCall, openStream } from "../../../../src/lib/grpc/client-call.ts";
import { GrpcStatus } from "../../../../src/lib/grpc/status.ts";
import { eventually } from "../../../support/eventually.ts";
import { type GrpcJsMethods, startGrpcJsServer } from "../../../support/grpc-js-peer.ts";
import { listening } from "../../../support/listening.ts";
import { createOpensslPki } from "../../../support/openssl-pki.ts";
import { temporaryDirectory } from "../../../support/temporary-directory.ts";

const path = "/test.Echo/Call";
const clock = systemClock;

/** A server of grpc-js on loopback, and our channel to it. */
async function startPair(handler: GrpcJsMethods[string], options: Partial<GrpcChannelOptions> = {}) {
  const stack = new AsyncDisposableStack();
  const peer = stack.use(await startGrpcJsServer({ [path]: handler }, "127.0.0.1:0"));
  const target = { kind: "tcp", host: "127.0.0.1", port: peer.port } as const;
  const channel = stack.use(createGrpcChannel({ target, authority: "test.example", ...options }, { clock }));
  return { channel, peer, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

const answer: grpc.handleUnaryCall<Buffer, Buffer> = (call, callback) => {
  callback(null, call.request);
};

const echo = (call: grpc.ServerDuplexStream<Buffer, Buffer>): void => {
  call.on("data", (message: Buffer) => call.write(message));
  call.on("end", () => {
    call.end();
  });
};

async function collect(messages: AsyncIterable<IncomingMessage>): Promise<Buffer[]> {
  const received: Buffer[] = [];
  for await (const message of messages) received.push(Buffer.from(await readWhole(message)));
  return received;
}

test("a unary call is answered; the peer sees metadata, authority and deadline", async () => {
  const seen: unknown[] = [];
  await using pair = await startPair((call, callback) => {
    seen.push(call.metadata.get("authorization"), call.getHost(), call.getDeadline());
    callback(null, call.request);
  });
  const options = { metadata: { authorization: "Bearer t" }, timeoutMs: 60_000 };
  await expect(pair.channel.unary(path, Buffer.from("hello"), options)).resolves.toEqual(Buffer.from("hello"));
  expect(seen).toEqual([["Bearer t"], "test.example", expect.any(Number)]);
});

test("a failure carries the peer's status, words and details", async () => {
  const metadata = new grpc.Metadata();
  metadata.set("grpc-status-details-bin", Buffer.from([1, 2, 3]));
  await using pair = await startPair((_call, callback) => {
    callback({ code: grpc.status.RESOURCE_EXHAUSTED, details: "später: 100 %", metadata });
  });
  await expect(pair.channel.unary(path, Buffer.alloc(0))).rejects.toMatchObject({
    code: "AGENT_GRPC",
    status: GrpcStatus.resourceExhausted,
    detail: "später: 100 %",
    details: Buffer.from([1, 2, 3]),
  });
});

test("an unknown method is unimplemented", async () => {
  await using pair = await startPair(answer);
  const calling = pair.channel.unary("/other.Service/Call", Buffer.alloc(0));
  await expect(calling).rejects.toMatchObject({ status: GrpcStatus.unimplemented });
});

test("a stream carries messages both ways until both sides have ended", async () => {
  await using pair = await startPair(echo);
  const stream = await pair.channel.stream(path);
  const messages = ["", "a", "b".repeat(100_000)].map((text) => Buffer.from(text));
  for (const message of messages) await stream.write(message);
  await stream.end();
  expect(await collect(stream.responses)).toEqual(messages);
});

test("messages of 20 MB come in chunks, with all their bytes", async () => {
  await using pair = await startPair(echo);
  const message = Buffer.alloc(20 * 1024 * 1024, "attache");
  const limits = { maxReceiveBytes: 2 ** 31 };
  const target = { kind: "tcp", host: "127.0.0.1", port: pair.peer.port } as const;
  await using channel = createGrpcChannel({ target, authority: "a", ...limits }, { clock });
  const stream = await channel.stream(path);
  const sent = stream.writeChunks(message.length, chunksOf(message, 10_000)).then(() => stream.end());
  expect((await collect(stream.responses)).map((received) => received.equals(message))).toEqual([true]);
  await sent;
});

test("chunks that are not as long as announced reset the call", async () => {
  await using pair = await startPair(echo);
  for (const length of [5, 20_000]) {
    const stream = await pair.channel.stream(path);
    await expect(stream.writeChunks(length, chunksOf(Buffer.alloc(10_000), 1_000))).rejects.toThrow("announced");
    await expect(collect(stream.responses)).rejects.toMatchObject({ code: "AGENT_GRPC" });
  }
});

test("a call without an answer ends at its deadline, also while connecting", async () => {
  await using pair = await startPair(() => undefined);
  const calling = pair.channel.unary(path, Buffer.alloc(0), { timeoutMs: 50 });
  await expect(calling).rejects.toMatchObject({ status: GrpcStatus.deadlineExceeded });
  await using mute = await listenMute();
  await using channel = createGrpcChannel({ target: mute.target, authority: "a" }, { clock });
  const connecting = channel.unary(path, Buffer.alloc(0), { timeoutMs: 50 });
  await expect(connecting).rejects.toMatchObject({ status: GrpcStatus.deadlineExceeded });
});

test("an aborted call is cancelled at the peer as well", async () => {
  const cancelled = Promise.withResolvers<undefined>();
  const called = Promise.withResolvers<undefined>();
  await using pair = await startPair((call, callback) => {
    expect(callback).toBeTypeOf("function"); // the second parameter is what makes the method unary
    call.on("cancelled", () => {
      cancelled.resolve(undefined);
    });
    called.resolve(undefined);
  });
  const stop = new AbortController();
  const calling = pair.channel.unary(path, Buffer.alloc(0), { signal: stop.signal });
  calling.catch(() => undefined);
  await called.promise;
  stop.abort();
  await expect(calling).rejects.toMatchObject({ status: GrpcStatus.cancelled });
  await cancelled.promise;
  const again = pair.channel.unary(path, Buffer.alloc(0), { signal: stop.signal });
  await expect(again).rejects.toMatchObject({ status: GrpcStatus.cancelled });
});

test("nobody listening is unavailable, and names the address", async () => {
  await using directory = await temporaryDirectory();
  const target = { kind: "unix", path: join(directory.path, "none") } as const;
  await using channel = createGrpcChannel({ target, authority: "a" }, { clock });
  const calling = channel.unary(path, Buffer.alloc(0));
  await expect(calling).rejects.toMatchObject({
    status: GrpcStatus.unavailable,
    detail: stringContaining(target.path),
  });
});

test("a peer that accepts and says nothing is given up after the connect deadline", async () => {
  await using mute = await listenMute();
  await using channel = createGrpcChannel({ target: mute.target, authority: "a", connectTimeoutMs: 50 }, { clock });
  const calling = channel.unary(path, Buffer.alloc(0));
  await expect(calling).rejects.toMatchObject({ status: GrpcStatus.unavailable });
});

test("after a lost connection the next call connects anew", async () => {
  const first = await startGrpcJsServer({ [path]: answer }, "127.0.0.1:0");
  const { port } = first;
  const target = { kind: "tcp", host: "127.0.0.1", port } as const;
  await using channel = createGrpcChannel({ target, authority: "a" }, { clock });
  await channel.unary(path, Buffer.from("1"));
  await first[Symbol.asyncDispose]();
  await using second = await startGrpcJsServer({ [path]: answer }, `127.0.0.1:${String(port)}`);
  await eventually(() => channel.unary(path, Buffer.from("2")), { withinMs: 2_000 });
  expect(second.port).toBe(port);
});

test("an open stream is unavailable when the connection is lost", async () => {
  await using pair = await startPair(echo);
  const stream = await pair.channel.stream(path);
  await stream.write(Buffer.from("a"));
  const answers = stream.responses[Symbol.asyncIterator]();
  await answers.next();
  const next = answers.next();
  next.catch(() => undefined);
  await pair.peer[Symbol.asyncDispose]();
  await expect(next).rejects.toMatchObject({ code: "AGENT_GRPC" });
});

test("a peer that stops answering pings is unavailable", async () => {
  await using directory = await temporaryDirectory();
  const listener = createServer((socket) => {
    // settings, then silence
    socket.on("error", () => undefined);
    socket.write(Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]));
    socket.resume();
  });
  listener.listen(join(directory.path, "s"));
  await once(listener, "listening");
  const target = { kind: "unix", path: join(directory.path, "s") } as const;
  const keepalive = { intervalMs: 30, timeoutMs: 30 };
  const channel = createGrpcChannel({ target, authority: "a", keepalive }, { clock });
  const stream = await channel.stream(path);
  await expect(collect(stream.responses)).rejects.toMatchObject({ status: GrpcStatus.unavailable });
  await channel[Symbol.asyncDispose]();
  listener.close();
});

test("disposing the channel ends its calls", async () => {
  await using pair = await startPair(echo);
  const stream = await pair.channel.stream(path);
  const ending = collect(stream.responses);
  ending.catch(() => undefined);
  await pair.channel[Symbol.asyncDispose]();
  await expect(ending).rejects.toMatchObject({ code: "AGENT_GRPC" });
  await expect(pair.channel.unary(path, Buffer.alloc(0))).rejects.toMatchObject({ status: GrpcStatus.cancelled });
});

test("TLS verifies the peer; options are asked for each connection; plaintext is told apart", async () => {
  await using directory = await temporaryDirectory();
  const pki = await createOpensslPki(directory.path);
  const { chainPem, keyPem } = await pki.issue("spiffe://cluster.local/ns/a/sa/b");
  const pair = { cert_chain: Buffer.from(chainPem), private_key: Buffer.from(keyPem) };
  const credentials = grpc.ServerCredentials.createSsl(null, [pair]);
  await using peer = await startGrpcJsServer({ [path]: answer }, "127.0.0.1:0", credentials);
  const roots = ["", pki.rootPem];
  const target: GrpcTarget = {
    kind: "tls",
    host: "127.0.0.1",
    port: peer.port,
    tlsOptions: () => ({ ca: roots.shift() ?? "", servername: "b.example", checkServerIdentity: () => undefined }),
  };
  await using channel = createGrpcChannel({ target, authority: "b.example" }, { clock });
  const distrusted = channel.unary(path, Buffer.from("x"));
  await expect(distrusted).rejects.toMatchObject({ status: GrpcStatus.unavailable });
  await expect(channel.unary(path, Buffer.from("x"))).resolves.toEqual(Buffer.from("x"));
  await using plain = await startPair(answer);
  const wrong: GrpcTarget = { ...target, port: plain.peer.port, tlsOptions: () => ({}) };
  await using mistaken = createGrpcChannel({ target: wrong, authority: "b.example" }, { clock });
  const plaintext = mistaken.unary(path, Buffer.from("x"));
  await expect(plaintext).rejects.toMatchObject({ detail: stringContaining("plaintext") });
  const reverse: GrpcTarget = { kind: "tcp", host: "127.0.0.1", port: peer.port };
  await using naked = createGrpcChannel({ target: reverse, authority: "b.example" }, { clock });
  const encrypted = naked.unary(path, Buffer.from("x"));
  await expect(encrypted).rejects.toMatchObject({ detail: stringContaining("TLS") });
});

test("a peer that wants a certificate and gets none is unavailable at once, and can be disposed of", async () => {
  await using directory = await temporaryDirectory();
  const pki = await createOpensslPki(directory.path);
  const { chainPem, keyPem } = await pki.issue("spiffe://cluster.local/ns/a/sa/b");
  const pair = { cert_chain: Buffer.from(chainPem), private_key: Buffer.from(keyPem) };
  const credentials = grpc.ServerCredentials.createSsl(Buffer.from(pki.rootPem), [pair], true);
  await using peer = await startGrpcJsServer({ [path]: answer }, "127.0.0.1:0", credentials);
  const tlsOptions = () => ({ ca: pki.rootPem, checkServerIdentity: () => undefined });
  const target: GrpcTarget = { kind: "tls", host: "127.0.0.1", port: peer.port, tlsOptions };
  const channel = createGrpcChannel({ target, authority: "b.example" }, { clock });
  const calling = channel.unary(path, Buffer.from("x"), { timeoutMs: 3_000 });
  await expect(calling).rejects.toMatchObject({ status: GrpcStatus.unavailable });
  await channel[Symbol.asyncDispose]();
});

function stringContaining(text: string): unknown {
  return expect.stringContaining(text);
}

async function* chunksOf(bytes: Uint8Array, size: number): AsyncGenerator<Uint8Array> {
  await Promise.resolve();
  for (let at = 0; at < bytes.length; at += size) yield bytes.subarray(at, at + size);
}

/** Accepts connections and never says a word. */
async function listenMute(): Promise<{ readonly target: GrpcTarget } & AsyncDisposable> {
  const directory = await temporaryDirectory();
  const server = createServer((socket) => {
    socket.on("error", () => undefined);
    socket.resume();
  });
  const socketPath = join(directory.path, "s");
  server.listen(socketPath);
  await once(server, "listening");
  return {
    target: { kind: "unix", path: socketPath },
    async [Symbol.asyncDispose]() {
      server.close();
      await directory[Symbol.asyncDispose]();
    },
  };
}

test.each(["destroyed", "closed"] as const)(
  "a request on a session that is %s is an UNAVAILABLE GrpcError",
  async (how) => {
    await using pair = await startPair(echo);
    const session = connect(`http://127.0.0.1:${String(pair.peer.port)}`);
    await once(session, "connect");
    if (how === "destroyed") session.destroy();
    else session.close();
    // Node 24 throws; Node 26 returns a stream that fails.
    const call = async (): Promise<unknown> => {
      const stream = openStream(session, { ":path": path }, "peer.example:1");
      const limits = { maxBytes: 1_000, chunkAboveBytes: 1_000 };
      const isConnected = (): boolean => !session.destroyed && !session.closed;
      return await collect(
        new ClientCall(stream, { limits, target: "peer", signal: undefined, isConnected }).responses,
      );
    };
    await expect(call()).rejects.toMatchObject({ code: "AGENT_GRPC", status: GrpcStatus.unavailable });
  },
);

test("metadata that HTTP/2 does not allow is a GrpcError, too", async () => {
  await using pair = await startPair(answer);
  const calling = pair.channel.unary(path, Buffer.alloc(0), { metadata: { "bad name": "x" } });
  await expect(calling).rejects.toMatchObject({ code: "AGENT_GRPC", status: GrpcStatus.internal });
});

test("a channel is disposed though the peer keeps a connection open that it said goodbye on", async () => {
  const settings = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
  const goaway = Buffer.from([0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
  await using server = await listening(
    createServer((socket) => {
      socket.write(Buffer.concat([settings, goaway]));
    }),
  );
  const target = { kind: "tcp", host: "127.0.0.1", port: server.port } as const;
  await using channel = createGrpcChannel({ target, authority: "a" }, { clock });
  const calling = channel.unary(path, Buffer.alloc(0));
  await expect(calling).rejects.toMatchObject({ status: GrpcStatus.unavailable });
});

test.each([
  [503, "text/html", /UNAVAILABLE: the peer responded with HTTP status 503/],
  [200, "text/html", /UNKNOWN: the peer's response is not gRPC, but text\/html$/],
])("a response of HTTP status %i and type %s is reported as such, whatever its body is", async (status, type, text) => {
  const server = createHttp2Server();
  server.on("stream", (stream: ServerHttp2Stream) => {
    stream.on("error", () => undefined);
    stream.respond({ ":status": status, "content-type": type });
    stream.end("<html><body>no healthy upstream</body></html>");
  });
  await using listener = await listening(server);
  const target = { kind: "tcp", host: "127.0.0.1", port: listener.port } as const;
  await using channel = createGrpcChannel({ target, authority: "a" }, { clock });
  await expect(channel.unary(path, Buffer.alloc(0))).rejects.toThrow(text);
  const stream = await channel.stream(path);
  await expect(collect(stream.responses)).rejects.toThrow(text);
});

test("a peer's message of any length is kept short", async () => {
  const refuse: grpc.handleUnaryCall<Buffer, Buffer> = (_, callback) => {
    callback({ code: grpc.status.INTERNAL, details: "why ".repeat(1_000) });
  };
  await using pair = await startPair(refuse);
  const calling = pair.channel.unary(path, Buffer.alloc(0));
  await expect(calling).rejects.toThrow(/^INTERNAL: (why )+…$/);
  await expect(calling).rejects.toMatchObject({ detail: `${"why ".repeat(125)}…` });
});
