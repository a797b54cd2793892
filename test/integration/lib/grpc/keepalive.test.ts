// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { createServer, type ServerHttp2Session, type ServerHttp2Stream } from "node:http2";
import { expect, test } from "vitest";
import { createGrpcChannel, type GrpcChannel } from "../../../../src/lib/grpc/client.ts";
import { eventually } from "../../../support/eventually.ts";
import { FakeClock } from "../../../support/fake-clock.ts";
import { listening } from "../../../support/listening.ts";

const minuteMs = 60_000;
const secondMs = 1_000;
const enhanceYourCalm = 0xb;

interface EnforcingServer extends AsyncDisposable {
  readonly port: number;
  /** Of all connections. */
  readonly pings: number;
  readonly goaways: number;
  readonly streams: readonly ServerHttp2Stream[];
}

/**
 * A peer with grpc-go's default enforcement: pings closer together than five minutes are strikes, the third strike ends
 * the connection, and what the server sends forgives all strikes.
 * Source: grpc-go, keepalive.EnforcementPolicy and http2_server.go, handlePing
 */
async function startEnforcingServer(clock: FakeClock): Promise<EnforcingServer> {
  let pings = 0;
  let goaways = 0;
  const streams: ServerHttp2Stream[] = [];
  const onSession = (session: ServerHttp2Session): void => {
    let lastMs = Number.NEGATIVE_INFINITY;
    let strikes = 0;
    session.on("error", () => undefined);
    session.on("ping", () => {
      pings++;
      if (clock.monotonicMs() - lastMs < 5 * minuteMs) strikes++;
      lastMs = clock.monotonicMs();
      if (strikes <= 2) return;
      goaways++;
      session.goaway(enhanceYourCalm, 0, Buffer.from("too_many_pings"));
      session.destroy();
    });
  };
  const http2 = createServer();
  http2.on("session", onSession);
  http2.on("stream", (stream: ServerHttp2Stream) => {
    stream.on("error", () => undefined);
    stream.respond({ ":status": 200, "content-type": "application/grpc" });
    streams.push(stream);
  });
  const server = await listening(http2);
  return {
    port: server.port,
    streams,
    get pings() {
      return pings;
    },
    get goaways() {
      return goaways;
    },
    [Symbol.asyncDispose]: () => server[Symbol.asyncDispose](),
  };
}

function channelTo(port: number, clock: FakeClock): GrpcChannel {
  const target = { kind: "tcp", host: "127.0.0.1", port } as const;
  const keepalive = { intervalMs: 30 * secondMs, timeoutMs: 10 * secondMs };
  return createGrpcChannel({ target, authority: "a", keepalive }, { clock });
}

/** Lets time pass in steps short enough for pings and their responses to travel in between. */
async function pass(clock: FakeClock, totalMs: number, onStep: () => Promise<void>): Promise<void> {
  for (let passedMs = 0; passedMs < totalMs; passedMs += 5 * secondMs) {
    await clock.advance(5 * secondMs);
    await onStep();
  }
}

/** One round trip over loopback, in which everything that was sent before arrives. */
async function roundTrip(): Promise<void> {
  await using server = await listening(
    createServer().on("stream", (stream: ServerHttp2Stream) => stream.respond({}, { endStream: true })),
  );
  const client = (await import("node:http2")).connect(`http://127.0.0.1:${String(server.port)}`);
  const request = client.request();
  request.resume();
  await once(request, "close");
  client.destroy();
}

test("an idle stream is kept by a peer that enforces five minutes between pings", async () => {
  const clock = new FakeClock();
  await using server = await startEnforcingServer(clock);
  await using channel = channelTo(server.port, clock);
  let isOpen = false;
  const open = async (): Promise<void> => {
    if (isOpen) return;
    isOpen = true;
    const stream = await channel.stream("/test.Echo/Call");
    void (async () => {
      for await (const _ of stream.responses);
    })()
      .catch(() => undefined)
      .finally(() => {
        isOpen = false;
      });
  };
  const step = async (): Promise<void> => {
    await open();
    await roundTrip();
  };
  await step();
  await pass(clock, 90 * minuteMs, step);
  // 30 s, 1, 2 and 4 minutes are too short; 8 minutes are not.
  expect(server.goaways).toBeLessThanOrEqual(4);
  const before = { goaways: server.goaways, pings: server.pings };
  await pass(clock, 60 * minuteMs, step);
  expect(server.goaways).toBe(before.goaways);
  expect(server.pings).toBeGreaterThan(before.pings + 3);
});

test("no ping is sent while data arrives, and one is once it has stopped", async () => {
  const clock = new FakeClock();
  await using server = await startEnforcingServer(clock);
  await using channel = channelTo(server.port, clock);
  using stream = await channel.stream("/test.Echo/Call");
  const messages = stream.responses[Symbol.asyncIterator]();
  await eventually(
    () => {
      expect(server.streams).toHaveLength(1);
    },
    { withinMs: 2_000 },
  );
  for (let count = 0; count < 12; count++) {
    await clock.advance(20 * secondMs);
    server.streams[0]?.write(Buffer.alloc(5));
    await messages.next();
  }
  expect(server.pings).toBe(0);
  await clock.advance(40 * secondMs);
  await eventually(
    () => {
      expect(server.pings).toBe(1);
    },
    { withinMs: 2_000 },
  );
});
