// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { expect, test } from "vitest";
import { systemClock } from "../../../../src/lib/async/clock.ts";
import { createGrpcChannel } from "../../../../src/lib/grpc/client.ts";
import { readWhole } from "../../../../src/lib/grpc/message.ts";
import { listening } from "../../../support/listening.ts";

const path = "/test.Echo/Call";

/** One HTTP/2 frame. Source: RFC 9113 section 4.1 */
function frame(type: number, flags: number, streamId: number, payload: Uint8Array = Buffer.alloc(0)): Buffer {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head[3] = type;
  head[4] = flags;
  head.writeUInt32BE(streamId, 5);
  return Buffer.concat([head, payload]);
}

function literalHeader(name: string, value: string): Buffer {
  return Buffer.from([0, name.length, ...Buffer.from(name), value.length, ...Buffer.from(value)]);
}

/** Sends a response's headers, and the bytes of a message in frames of one byte; many of them at once. */
async function sendInBytes(socket: Socket, message: Uint8Array, framesAtOnce: number): Promise<void> {
  const status200 = Buffer.of(0x88);
  socket.write(frame(4, 1, 0));
  socket.write(frame(1, 4, 1, Buffer.concat([status200, literalHeader("content-type", "application/grpc")])));
  const head = Buffer.alloc(5);
  head.writeUInt32BE(message.length, 1);
  const bytes = Buffer.concat([head, message]);
  for (let at = 0; at < bytes.length && !socket.destroyed; at += framesAtOnce) {
    const frames = [...bytes.subarray(at, at + framesAtOnce)].map((byte) => frame(0, 0, 1, Buffer.of(byte)));
    if (!socket.write(Buffer.concat(frames))) await Promise.race([once(socket, "drain"), once(socket, "close")]);
    await new Promise((resolve) => setImmediate(resolve));
  }
  socket.write(frame(1, 5, 1, literalHeader("grpc-status", "0")));
}

const prefaceBytes = 24;
const headersFrame = 1;

/** Whether the client's bytes contain the headers of its call. */
function hasCall(bytes: Buffer): boolean {
  for (let at = prefaceBytes; at + 9 <= bytes.length; at += 9 + bytes.readUIntBE(at, 3)) {
    if (bytes[at + 3] === headersFrame) return true;
  }
  return false;
}

async function startByteServer(message: Uint8Array, framesAtOnce: number) {
  const sent = Promise.withResolvers<undefined>();
  const server = createServer((socket) => {
    socket.write(frame(4, 0, 0));
    let received: Buffer = Buffer.alloc(0);
    let isCalled = false;
    socket.on("data", (chunk: Buffer) => {
      received = Buffer.concat([received, chunk]);
      if (isCalled || !hasCall(received)) return;
      isCalled = true;
      // the client may close the connection meanwhile
      void sendInBytes(socket, message, framesAtOnce)
        .catch(() => undefined)
        .finally(() => {
          sent.resolve(undefined);
        });
    });
  });
  const stack = new AsyncDisposableStack();
  const { port } = stack.use(await listening(server));
  const target = { kind: "tcp", host: "127.0.0.1", port } as const;
  const channel = stack.use(createGrpcChannel({ target, authority: "test.example" }, { clock: systemClock }));
  return { channel, sent: sent.promise, [Symbol.asyncDispose]: () => stack.disposeAsync() };
}

const message = Buffer.from(Array.from({ length: 300_000 }, (_byte, index) => index % 251));

test("a message in frames of one byte arrives whole, however the reader pauses, and takes little memory", async () => {
  await using pair = await startByteServer(message, 200);
  const stream = await pair.channel.stream(path);
  globalThis.gc?.();
  const before = process.memoryUsage().heapUsed;
  // nothing is read, so the rest waits in the stream
  await pair.sent;
  globalThis.gc?.();
  const grownBytes = process.memoryUsage().heapUsed - before;
  const received: Buffer[] = [];
  for await (const one of stream.responses) received.push(Buffer.from(await readWhole(one)));
  expect(Buffer.concat(received).equals(message)).toBe(true);
  expect(grownBytes).toBeLessThan(20 * 1024 * 1024);
});

test("a peer that keeps the event loop busy with very small frames loses its connection", async () => {
  await using pair = await startByteServer(Buffer.alloc(1024 * 1024), 100_000);
  const call = pair.channel.unary(path, Buffer.alloc(0), { timeoutMs: 20_000 });
  await expect(call).rejects.toMatchObject({ message: expect.stringContaining("was lost") as string });
});
