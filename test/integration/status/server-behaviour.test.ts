// SPDX-License-Identifier: Apache-2.0
import { randomBytes } from "node:crypto";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import { createServer } from "node:http";
import { connect, type Socket } from "node:net";
import { networkInterfaces } from "node:os";
import { expect, test } from "vitest";
import { systemClock } from "../../../src/lib/async/clock.ts";
import type { AppProbeHandler } from "../../../src/status/status-config.ts";
import { answer, startFakeApp } from "../../fakes/fake-app.ts";
import { testBudgets } from "../../support/budgets.ts";
import { eventually } from "../../support/eventually.ts";
import { listening } from "../../support/listening.ts";
import { rawHttp } from "../../support/raw-http.ts";
import { startStatus } from "./status-fixture.ts";

const outsideAddress = Object.values(networkInterfaces())
  .flat()
  .find((address) => address?.family === "IPv4" && !address.internal)?.address;
const live = "/app-health/app/livez";

function probes(handler: AppProbeHandler) {
  return { [live]: { handler, timeoutMs: 2_000 } };
}

/** Sends bytes on one connection and gathers what comes back. */
async function talk(port: number, text: string, until: (heard: string) => boolean): Promise<string> {
  const socket = connect({ port, host: "127.0.0.1" });
  let heard = "";
  socket.setEncoding("latin1").on("data", (part: string) => {
    heard += part;
  });
  socket.write(text);
  await eventually(
    () => {
      if (!until(heard)) throw new Error(`heard only ${JSON.stringify(heard)}`);
    },
    { withinMs: 3_000 },
  );
  socket.destroy();
  return heard;
}

test("pipelined requests are answered one after another, in their order", async () => {
  let underway = 0;
  let most = 0;
  await using app = await startFakeApp((request, response) => {
    most = Math.max(most, ++underway);
    void systemClock.delay(30).then(() => {
      underway--;
      response.end(request.url);
    });
  });
  const handler = { kind: "http", scheme: "http", port: app.port, path: "/asked" } as const;
  await using status = await startStatus({ appProbes: probes(handler) });
  const ask = (path: string): string => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`;
  const heard = await talk(status.port, ask(live) + ask("/none") + ask(live) + ask("/healthz/ready"), (text) => {
    return (text.match(/HTTP\/1\.1/g)?.length ?? 0) === 4;
  });
  expect(heard.match(/HTTP\/1\.1 \d+/g)).toEqual(["HTTP/1.1 200", "HTTP/1.1 404", "HTTP/1.1 200", "HTTP/1.1 200"]);
  expect(most).toBe(1);
});

test("a connection with 100,000 pipelined requests is not read while one waits, and one that reads gets all it sent", async () => {
  const budgets = testBudgets();
  await using status = await startStatus({}, {}, budgets);
  const ask = "GET /healthz/ready HTTP/1.1\r\nHost: a\r\n\r\n";
  const flooding = connect({ port: status.port, host: "127.0.0.1" });
  flooding.on("error", () => undefined).pause();
  for (let time = 0; time < 200; time++) flooding.write(ask.repeat(500));
  const heard = await talk(status.port, ask.repeat(60), (text) => text.split("HTTP/1.1 200").length === 61);
  expect(heard.match(/HTTP\/1\.1 200/g)).toHaveLength(60);
  const waiting = budgets.facts().find(({ name }) => name === "status-requests-waiting-of-connection");
  expect(waiting?.peak).toBeLessThanOrEqual(64);
  expect((await rawHttp(status.port, { target: "/healthz/ready" })).status).toBe(200);
  flooding.destroy();
});

test("of thousands of pipelined requests in one read, those after the limit are not even parsed", async () => {
  await using status = await startStatus();
  let parsed = 0;
  const count = (): void => {
    parsed++;
  };
  // Node.js publishes every request that its parser passes on
  subscribe("http.server.request.start", count);
  const flooding = connect({ port: status.port, host: "127.0.0.1" }).on("error", () => undefined);
  const closed = once(flooding, "close");
  flooding.resume().end("GET /healthz/ready HTTP/1.1\r\nHost: a\r\n\r\n".repeat(1_500));
  await closed;
  unsubscribe("http.server.request.start", count);
  expect(parsed).toBeGreaterThan(64);
  expect(parsed).toBeLessThan(70);
  expect((await rawHttp(status.port, { target: "/healthz/ready" })).status).toBe(200);
});

test.each([
  [
    "too many headers",
    Array.from({ length: 120 }, (_, n) => `a${String(n)}: b`),
    "",
    431,
    "limit status-headers of 100",
  ],
  ["long headers", [`a: ${"b".repeat(20_000)}`], "", 431, "limit status-header-bytes of 16384 bytes is reached"],
  ["a large body", [], "x".repeat(200_000), 0, ""],
])("a request with %s is rejected, and the server lives", async (_what, headers, body, code, reason) => {
  await using status = await startStatus({}, {}, testBudgets({ "status-connections": 8 }));
  const rejected = await rawHttp(status.port, { method: "POST", target: "/metrics", headers, body }).catch(() => {
    return { status: 0, body: "" };
  });
  expect(rejected.body).toContain(reason);
  if (code !== 0) expect(rejected.status).toBe(code);
  expect((await rawHttp(status.port, { target: "/healthz/ready" })).status).toBe(200);
});

test("a scraper that reads nothing holds up no other scrape", async () => {
  const big = `# TYPE big gauge\n${`big{x="${"y".repeat(200)}"} 1\n`.repeat(60_000)}`;
  await using app = await startFakeApp(answer(200, big));
  const target = { host: "localhost", scheme: "http", port: app.port, path: "/" } as const;
  await using status = await startStatus({ scrape: { envoyPort: undefined, targets: [target] } });
  const stuck = Array.from({ length: 4 }, (_, number) => {
    const socket = connect({ port: status.port, host: "127.0.0.1" });
    socket.on("error", () => undefined);
    socket.pause();
    socket.write(`GET /metrics?number=${String(number)} HTTP/1.1\r\nHost: a\r\n\r\n`);
    return socket;
  });
  await eventually(() => expect(app.requests.length).toBeGreaterThanOrEqual(4), { withinMs: 5_000 });
  const scraped = await fetch(status.url("/metrics"));
  expect((await scraped.text()).endsWith("\n")).toBe(true);
  for (const socket of stuck) socket.destroy();
});

test("a scraper that leaves the queue, or leaves in the middle of its response, is no error in the log", async () => {
  const started: (() => void)[] = [];
  const metrics = {
    async scrape(_request: unknown, sink: { begin(type: string): void; write(bytes: Uint8Array): Promise<void> }) {
      await new Promise<void>((resolve) => started.push(resolve));
      sink.begin("text/plain");
      await sink.write(Buffer.from("a 1\n"));
    },
  };
  await using status = await startStatus({}, { metrics });
  const scrapers = Array.from({ length: 7 }, (_, number) => {
    const socket = connect({ port: status.port, host: "127.0.0.1" });
    const target = `/metrics?number=${String(number)}`;
    socket.on("error", () => undefined).write(`GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`);
    return socket;
  });
  await eventually(() => expect(started).toHaveLength(4), { withinMs: 2_000 });
  for (const socket of scrapers) socket.resetAndDestroy();
  const left = () => status.records.filter(({ message }) => message === "caller left before its response was complete");
  await eventually(() => expect(left()).toHaveLength(7), { withinMs: 2_000 });
  for (const resume of started) resume();
  expect(status.records.filter(({ level }) => level === "warn" || level === "error")).toEqual([]);
});

test.each([
  ["idle", "GET /healthz/ready HTTP/1.1\r\nHost: a\r\n\r\n"],
  ["silent", ""],
  ["half a request long", "GET /healthz/ready HTTP/1.1\r\nHost: a\r\nX: "],
])("1,500 connections that are %s keep nobody out who asks at once", async (_state, text) => {
  const budgets = testBudgets();
  await using status = await startStatus({}, {}, budgets);
  let opened = 0;
  const held = Array.from({ length: 1_500 }, () => {
    const socket = connect({ port: status.port, host: outsideAddress ?? "127.0.0.1" }, () => opened++);
    socket.on("error", () => undefined).resume();
    if (text !== "") socket.write(text);
    return socket;
  });
  await eventually(() => expect(opened).toBe(1_500), { withinMs: 5_000 });
  for (let time = 0; time < 20; time++) {
    const host = time % 2 === 0 ? "127.0.0.1" : (outsideAddress ?? "127.0.0.1");
    expect((await rawHttp(status.port, { target: "/healthz/ready", host })).status).toBe(200);
  }
  const spent = budgets.facts().find(({ name }) => name === "status-connections");
  if (outsideAddress !== undefined) expect(spent).toMatchObject({ size: 1_024, peak: 1_024 });
  for (const socket of held) socket.destroy();
});

test("a connection on loopback, as Envoy keeps it, outlives those that come from elsewhere", async () => {
  if (outsideAddress === undefined) return;
  await using status = await startStatus();
  const kept = connect({ port: status.port, host: "127.0.0.1" });
  const ask = "GET /healthz/ready HTTP/1.1\r\nHost: a\r\n\r\n";
  kept.write(ask);
  await eventually(() => expect(kept.bytesRead).toBeGreaterThan(0), { withinMs: 2_000 });
  const { bytesRead } = kept;
  const others = Array.from({ length: 1_200 }, () => connect({ port: status.port, host: outsideAddress }));
  for (const socket of others)
    socket
      .on("error", () => undefined)
      .resume()
      .write("GET /");
  await eventually(() => expect(others.filter(({ closed }) => closed).length).toBeGreaterThan(100), {
    withinMs: 5_000,
  });
  kept.write(ask);
  await eventually(() => expect(kept.bytesRead).toBe(2 * bytesRead), { withinMs: 2_000 });
  for (const socket of [kept, ...others]) socket.destroy();
});

test("a source that fails is a 500, and the server lives", async () => {
  const metrics = { scrape: () => Promise.reject(new Error("out of order")) };
  await using status = await startStatus({}, { metrics });
  expect((await rawHttp(status.port, { target: "/metrics" })).status).toBe(500);
  expect(status.records.some(({ level, message }) => level === "error" && message === "status request failed")).toBe(
    true,
  );
  expect((await rawHttp(status.port, { target: "/healthz/ready" })).status).toBe(200);
});

test("a handler that fails in the middle of its answer closes the connection", async () => {
  const metrics = {
    async scrape(_request: unknown, sink: { begin(type: string): void; write(bytes: Uint8Array): Promise<void> }) {
      sink.begin("text/plain");
      await sink.write(Buffer.from("half"));
      throw new Error("out of order");
    },
  };
  await using status = await startStatus({}, { metrics });
  const answered = await rawHttp(status.port, { target: "/metrics" });
  expect([answered.status, answered.body]).toEqual([200, "4\r\nhalf\r\n"]);
  expect((await rawHttp(status.port, { target: "/healthz/ready" })).status).toBe(200);
});

test("metrics for loopback only are refused to others", async () => {
  await using status = await startStatus({ metricsLocalhostOnly: true });
  expect((await rawHttp(status.port, { target: "/metrics" })).status).toBe(200);
  if (outsideAddress === undefined) return;
  const refused = await rawHttp(status.port, { target: "/metrics", host: outsideAddress });
  expect([refused.status, refused.body]).toEqual([403, "Only requests from localhost are allowed\n"]);
});

test("port 0 turns the server off; readiness can still be waited for, and given up", async () => {
  await using status = await startStatus({ port: 0 });
  expect(status.port).toBe(0);
  const hold = status.readiness.hold("identity");
  const { server } = status;
  const ready = server.untilReady(new AbortController().signal);
  expect((await server.verdict()).ready).toBe(false);
  hold.release();
  await ready;
  expect([server.lastReady(), status.asked]).toEqual([true, ["first ready"]]);
  status.readiness.hold("identity");
  const stop = new AbortController();
  const waiting = server.untilReady(stop.signal);
  stop.abort(new Error("enough"));
  await expect(waiting).rejects.toThrow("enough");
});

test("the root of a tree is redirected to, long answers are compressed, a HEAD has no body", async () => {
  await using status = await startStatus();
  for (const root of ["/app-health", "/app-lifecycle"]) {
    const moved = await rawHttp(status.port, { target: root });
    expect([moved.status, moved.headers.get("location")]).toEqual([307, `${root}/`]);
  }
  const posted = await rawHttp(status.port, { method: "POST", target: "/a//b" });
  expect([posted.status, posted.headers.get("location"), posted.body]).toEqual([307, "/a/b", ""]);
  for (const [accepted, coding] of [
    ["gzip", "gzip"],
    ["br", undefined],
  ] as const) {
    const page = await rawHttp(status.port, {
      target: "/",
      headers: ["Host: localhost", "Accept: text/html", `Accept-Encoding: ${accepted}`],
    });
    expect([page.status, page.headers.get("content-encoding")]).toEqual([200, coding]);
  }
  const head = await rawHttp(status.port, { method: "HEAD", target: "/metrics" });
  expect([head.status, head.body]).toEqual([200, ""]);
});

test("an application that switches protocols, or answers with no HTTP, fails its probe and nothing else", async () => {
  const switching = createServer();
  switching.on("upgrade", (_request, socket) => {
    socket.end("HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n");
  });
  await using bound = await listening(switching);
  const http = { kind: "http", scheme: "http", path: "/" } as const;
  await using status = await startStatus({ appProbes: probes({ ...http, port: bound.port }) });
  const headers = ["Upgrade: websocket", "Connection: Upgrade"];
  expect((await rawHttp(status.port, { target: live, headers })).status).toBeGreaterThanOrEqual(200);
  const { createServer: createTcp } = await import("node:net");
  await using garbage = await listening(createTcp((socket) => socket.end("SSH-2.0-OpenSSH_9\r\n")));
  await using other = await startStatus({ appProbes: probes({ ...http, port: garbage.port }) });
  const failed = await rawHttp(other.port, { target: live });
  expect([failed.status, failed.headers.get("x-attache-probe-fault")]).toEqual([500, "app"]);
});

/** Sends a request and reads no response. */
async function silentClient(port: number, target: string, headers = ""): Promise<Socket> {
  const socket = connect({ host: "127.0.0.1", port });
  socket.on("error", () => undefined).pause();
  await once(socket, "connect");
  socket.write(`GET ${target} HTTP/1.1\r\nHost: localhost\r\n${headers}\r\n`);
  return socket;
}

test("responses that clients do not read are counted, and with too many the connection with the most is closed", async () => {
  const sizes = { "status-unread-bytes": 30e6, "status-unread-bytes-of-connection": 50e6, "debug-output-bytes": 50e6 };
  const budgets = testBudgets(sizes);
  const inspect = { node: () => "x".repeat(20e6), configuration: () => "x".repeat(30e6) };
  await using status = await startStatus({}, { inspect }, budgets);
  const unread = () => budgets.of("status-unread-bytes").used;
  const first = await silentClient(status.port, "/debug/node");
  await eventually(() => expect(unread()).toBeGreaterThan(1e6), { withinMs: 5_000 });
  const [ofFirst, spent] = [unread(), () => budgets.facts().find(({ name }) => name === "status-unread-bytes")];
  const second = await silentClient(status.port, "/debug/config");
  await eventually(() => expect(spent()).toMatchObject({ spentTotal: 1, used: ofFirst }), { withinMs: 5_000 });
  let bytes = 0;
  first.on("data", (part: Buffer) => (bytes += part.byteLength)).resume();
  await eventually(() => expect([bytes > 20e6, unread()]).toEqual([true, 0]), { withinMs: 5_000 });
  first.destroy();
  second.destroy();
});

test("few responses are compressed at a time, further ones are sent as they are", async () => {
  const budgets = testBudgets({ "status-encoders": 1, "debug-output-bytes": 50e6, "status-unread-bytes": 90e6 });
  const text = randomBytes(10e6).toString("base64");
  const inspect = { node: () => text, configuration: () => "x".repeat(5_000) };
  await using status = await startStatus({}, { inspect }, budgets);
  const silent = await silentClient(status.port, "/debug/node", "Accept-Encoding: gzip\r\n");
  await eventually(() => expect(budgets.of("status-encoders").used).toBe(1), { withinMs: 5_000 });
  const coding = async () => {
    const response = await fetch(status.url("/debug/config"), { headers: { "Accept-Encoding": "gzip" } });
    await response.text();
    return response.headers.get("content-encoding");
  };
  expect(await coding()).toBeNull();
  silent.destroy();
  await eventually(() => expect(budgets.of("status-encoders").used).toBe(0), { withinMs: 5_000 });
  expect(await coding()).toBe("gzip");
});

test.runIf(outsideAddress !== undefined)(
  "while memory is short, other machines get 503 with the limit's name for anything but a probe; loopback is served",
  async () => {
    const text = "limit container-memory-bytes of 1000 bytes is reached";
    const memory = { short: false, text, isShort: (): boolean => memory.short };
    await using status = await startStatus({}, {}, { ...testBudgets(), memory });
    const [probe, page] = ["/healthz/ready", "/metrics"].map((path) => `GET ${path} HTTP/1.1\r\nHost: a\r\n\r\n`);
    const outside = connect({ port: status.port, host: outsideAddress ?? "" });
    outside.setEncoding("latin1").write(probe ?? "");
    expect((await once(outside, "data"))[0]).toMatch(/^HTTP\/1.1 200/);
    memory.short = true;
    outside.write(probe ?? "");
    expect((await once(outside, "data"))[0]).toMatch(/^HTTP\/1.1 200/);
    outside.write(page ?? "");
    const [rejection] = (await once(outside, "data")) as [string];
    expect(rejection).toMatch(/^HTTP\/1.1 503/);
    expect(rejection).toContain(text);
    await once(outside, "close");
    expect(await talk(status.port, page ?? "", (heard) => heard.includes("HTTP/1.1 200"))).toMatch(/^HTTP\/1.1 200/);
  },
);

test.runIf(outsideAddress !== undefined)(
  "while memory is short, a flood of connections of another machine leaves 16, and a probe is served after it",
  async () => {
    const memory = { short: false, text: "", isShort: (): boolean => memory.short };
    const budgets = { ...testBudgets(), memory };
    await using status = await startStatus({}, {}, budgets);
    const flood = Array.from({ length: 60 }, () => connect({ port: status.port, host: outsideAddress ?? "" }));
    const local = connect({ port: status.port, host: "127.0.0.1" });
    await Promise.all(
      [...flood, local].map((socket) =>
        once(
          socket.on("error", () => undefined),
          "connect",
        ),
      ),
    );
    await eventually(() => expect(budgets.of("status-connections").used).toBe(61), { withinMs: 5_000 });
    memory.short = true;
    const probe = "GET /healthz/ready HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    for (let time = 0; time < 10; time++) {
      const kubelet = connect({ port: status.port, host: outsideAddress ?? "" });
      kubelet.setEncoding("latin1").write(probe);
      expect((await once(kubelet, "data"))[0]).toMatch(/^HTTP\/1.1 200/);
      await once(kubelet, "close");
    }
    await eventually(() => expect(budgets.of("status-connections").used).toBeLessThanOrEqual(17), { withinMs: 5_000 });
    expect(local.destroyed).toBe(false);
    for (const socket of [...flood, local]) socket.destroy();
  },
);

test("C20: a request whose headers are too long, and too many connections of this machine, are rejected by limits that count it", async () => {
  const budgets = testBudgets({ "status-connections": 8 });
  await using status = await startStatus({}, {}, budgets);
  await rawHttp(status.port, { target: `/${"a".repeat(20_000)}` });
  const sockets = Array.from({ length: 10 }, () => connect({ port: status.port, host: "127.0.0.1" }));
  await Promise.any(sockets.map((socket) => once(socket, "close")));
  for (const socket of sockets) socket.destroy();
  const spent = budgets.facts().filter(({ spentTotal }) => spentTotal > 0);
  expect(spent.map(({ name }) => name).sort()).toEqual(["status-connections", "status-header-bytes"]);
});
