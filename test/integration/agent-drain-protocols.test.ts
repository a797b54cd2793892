// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { createServer, connect, type Socket } from "node:net";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../src/lib/async/clock.ts";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { eventually } from "../support/eventually.ts";
import { freePorts } from "../support/free-ports.ts";
import { listening } from "../support/listening.ts";
import { writePlainListeners } from "../support/plain-listeners.ts";
import { type Pod, startPod } from "../support/pod.ts";
import { startStopwatch } from "../support/stopwatch.ts";

/** What a client has open with Envoy, and how it ends it. */
interface Open {
  end(): void;
}

interface Ports {
  readonly http: number;
  readonly tcp: number;
}

async function openSocket(port: number): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => undefined);
  await once(socket, "connect");
  return socket;
}

async function sendOn(port: number, text: string, response?: string): Promise<Open> {
  const socket = await openSocket(port);
  socket.write(text);
  let received = "";
  socket.on("data", (data) => {
    received += data.toString();
  });
  if (response !== undefined) await eventually(() => expect(received).toContain(response), { withinMs: 5_000 });
  return { end: () => socket.destroy() };
}

/** An HTTP/2 connection; its stream, which the application answers without an end, is left open or closed. */
async function openHttp2(port: number, path: string, closesStream: boolean): Promise<Open> {
  const session = connectHttp2(`http://127.0.0.1:${String(port)}`);
  session.on("error", () => undefined);
  const stream = session.request({
    ":path": path,
    ":method": "POST",
    "content-type": "application/grpc",
    te: "trailers",
  });
  stream.on("error", () => undefined);
  await once(stream, "response");
  stream.resume();
  if (closesStream) {
    stream.close();
    await once(stream, "close");
  }
  return { end: () => session.destroy() };
}

const idle: readonly (readonly [string, (ports: Ports) => Promise<Open>])[] = [
  [
    "an HTTP/1.1 connection after its response",
    ({ http }) => sendOn(http, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "200 OK"),
  ],
  ["a connection that was never used", async ({ http }) => await sendOn(http, "")],
  ["an HTTP/2 connection after its stream", ({ http }) => openHttp2(http, "/stream", true)],
];

const upgradeHeaders = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
const upgrade = `GET /socket HTTP/1.1\r\nHost: a\r\n${upgradeHeaders}\r\n`;
const inFlight: readonly (readonly [string, (ports: Ports) => Promise<Open>])[] = [
  [
    "an HTTP/1.1 request without a response",
    ({ http }) => sendOn(http, "GET /stream HTTP/1.1\r\nHost: a\r\n\r\n", "200 OK"),
  ],
  ["a request that is not sent completely", ({ http }) => sendOn(http, "GET / HTTP/1.1\r\nHost: a\r\n")],
  ["a stream of gRPC over HTTP/2", ({ http }) => openHttp2(http, "/stream", false)],
  ["a WebSocket", ({ http }) => sendOn(http, upgrade, "101 Switching Protocols")],
  ["a TCP connection", ({ tcp }) => sendOn(tcp, "GET / HTTP/1.1\r\nHost: a\r\n\r\n", "200 OK")],
];

/** Answers `/stream` without an end, `/socket` with an upgrade, and others at once. */
async function startApp(): ReturnType<typeof listening> {
  const server = createServer((socket) => {
    socket.on("data", (data) => {
      const path = /^\S+ (\S+) HTTP/.exec(data.toString())?.[1];
      if (path === "/socket") socket.write(`HTTP/1.1 101 Switching Protocols\r\n${upgradeHeaders}\r\n`);
      else if (path === "/stream") socket.write("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n");
      else if (path !== undefined) socket.write("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
    });
  });
  return await listening(server);
}

async function startDrainingPod(
  ca: Awaited<ReturnType<typeof startFakeCa>>,
  app: number,
): Promise<{ pod: Pod; ports: Ports }> {
  const [tcp = 0] = await freePorts(1);
  const pod = await startPod({
    ca,
    env: { EXIT_ON_ZERO_ACTIVE_CONNECTIONS: "true", MINIMUM_DRAIN_DURATION: "500ms" },
    prepare: ({ directory, ports: { inbound } }) => {
      writePlainListeners(directory, { http: inbound, tcp, app });
    },
  });
  await pod.untilReady();
  return { pod, ports: { http: pod.ports.inbound, tcp } };
}

describe("B15: with EXIT_ON_ZERO_ACTIVE_CONNECTIONS", () => {
  test.each(idle)("%s does not hold the drain", async (_name, open) => {
    await using ca = await startFakeCa();
    await using app = await startApp();
    const { pod, ports } = await startDrainingPod(ca, app.port);
    await using _pod = pod;
    const held = await open(ports);
    using watch = startStopwatch(() => [pod.pid, ...pod.envoyPids()]);
    pod.kill("SIGTERM");
    expect(await pod.exited).toEqual({ code: 0, signal: null });
    expect(watch.ms()).toBeLessThan(2_500);
    expect(pod.log()).toMatch(/drain finished\tendedBy=idle .*idleConnections=1/);
    held.end();
  });

  test.each(inFlight)("%s holds the drain until it ends", async (_name, open) => {
    await using ca = await startFakeCa();
    await using app = await startApp();
    const { pod, ports } = await startDrainingPod(ca, app.port);
    await using _pod = pod;
    const held = await open(ports);
    pod.kill("SIGTERM");
    await eventually(() => expect(pod.log()).toContain("draining Envoy"), { withinMs: 2_000 });
    await systemClock.delay(1_500);
    expect(pod.log()).not.toContain("drain finished");
    held.end();
    expect(await pod.exited).toEqual({ code: 0, signal: null });
    expect(pod.log()).toContain("endedBy=idle");
  });
});
