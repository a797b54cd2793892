// SPDX-License-Identifier: Apache-2.0
// The attackers of the hostile bench: everything at once against one pod, until the parent disconnects. The last message
// has how often each attack was made.
import { createSocket } from "node:dgram";
import { connect, type Socket } from "node:net";
import { setPriority } from "node:os";
import { setTimeout as pause } from "node:timers/promises";

export interface HostileTarget {
  readonly statusPort: number;
  readonly dnsPort: number;
  readonly probePath: string;
  /** Of a probe that the application never responds to. */
  readonly hangingPath: string;
  readonly seconds: number;
}

export type HostileLoad = Readonly<Record<string, number>>;

/** Not on loopback: the address of another pod, as far as the agent can see. */
const attacker = "10.77.0.2";
const { statusPort, dnsPort, probePath, hangingPath, seconds } = JSON.parse(process.argv[2] ?? "{}") as HostileTarget;
// the attackers have machines of their own
setPriority(15);
const endMs = performance.now() + 1_000 * seconds;
const made: Record<string, number> = {};

function isOver(): boolean {
  return performance.now() >= endMs;
}

function count(attack: string): void {
  made[attack] = (made[attack] ?? 0) + 1;
}

function open(): Socket {
  const socket = connect({ host: attacker, port: statusPort, localAddress: attacker });
  socket.setTimeout(5_000, () => socket.destroy());
  return socket.on("error", () => undefined);
}

function untilClosed(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    if (socket.destroyed) resolve();
    else
      socket.once("close", () => {
        resolve();
      });
  });
}

/** Asks again as soon as the first bytes of a response have come. */
async function flood(attack: string, request: () => string): Promise<void> {
  while (!isOver()) {
    const socket = open();
    socket.once("data", () => socket.destroy()).write(request());
    await untilClosed(socket);
    count(attack);
  }
}

async function pipeline(): Promise<void> {
  while (!isOver()) {
    const socket = open().pause();
    for (let time = 0; time < 100; time++) socket.write(get("/healthz/ready").repeat(500));
    count("pipelined requests");
    await pause(1_000);
    socket.destroy();
  }
}

/** Opens connections that say half a sentence, and opens each anew when it is closed. */
async function idle(): Promise<void> {
  while (!isOver()) {
    const socket = open();
    socket.setTimeout(0).write("GET /healthz/ready HTTP/1.1\r\nHost: a\r\nX: ");
    count("idle connections");
    await Promise.race([untilClosed(socket), pause(Math.max(1, endMs - performance.now()))]);
    socket.destroy();
    await pause(50);
  }
}

/** Reads a scrape a few bytes at a time. */
async function dribble(): Promise<void> {
  while (!isOver()) {
    const socket = open();
    socket.setTimeout(0).write(get(`/metrics?dribble=${String(Math.random())}`));
    count("slow readers");
    socket.on("data", () => {
      socket.pause();
      void pause(500).then(() => socket.resume());
    });
    await Promise.race([untilClosed(socket), pause(3_000)]);
    socket.destroy();
  }
}

async function queryNames(): Promise<void> {
  const socket = createSocket("udp4").on("error", () => undefined);
  for (let number = 0; !isOver(); number++) {
    const name = Buffer.from(`h${String(number)}`);
    const head = Buffer.from([(number >> 8) & 255, number & 255, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0]);
    const tail = Buffer.from("\u0007example\u0003com\u0000\u0000\u0001\u0000\u0001", "latin1");
    socket.send(Buffer.concat([head, Buffer.from([name.byteLength]), name, tail]), dnsPort, "127.0.0.1");
    count("queries");
    await pause(3);
  }
  socket.close();
}

function get(target: string, ...headers: readonly string[]): string {
  return [`GET ${target} HTTP/1.1`, "Host: a", ...headers, "", ""].join("\r\n");
}

const times = (amount: number, attack: () => Promise<void>): readonly Promise<void>[] =>
  Array.from({ length: amount }, attack);
await Promise.all([
  pipeline(),
  queryNames(),
  ...times(400, idle),
  ...times(10, dribble),
  ...times(50, () => flood("probes", () => get(probePath))),
  ...times(10, () => flood("distinct probes", () => get(probePath, `X: ${String(Math.random())}`))),
  ...times(30, () => flood("hanging probes", () => get(hangingPath, `X: ${String(Math.random())}`))),
  ...times(20, () => flood("scrapes", () => get("/stats/prometheus"))),
  ...times(4, () =>
    flood("long scrapes", () =>
      get(`/metrics?x=${String(Math.random())}`, "X-Prometheus-Scrape-Timeout-Seconds: 86400"),
    ),
  ),
  ...times(4, () => flood("trees", () => get("/healthz/ready?verbose"))),
  ...times(2, () => flood("control requests", () => get("/quitquitquit").replace("GET", "POST"))),
]);
process.send?.(made, () => {
  if (process.connected) process.disconnect?.();
});
