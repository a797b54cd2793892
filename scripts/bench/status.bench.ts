// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { connect, type Socket } from "node:net";
import { Readable } from "node:stream";
import { percentile, startProber } from "../../test/support/prober.ts";
import { startBareChild, startStatusChild, type StatusChild } from "../../test/support/status-child.ts";
import type { Figure } from "./figure.ts";

export const name = "status";

const connectionCounts = [1, 8, 64] as const;
const seconds = 2;
const seriesCounts = [10_000, 100_000] as const;
const scrapes = 5;

/**
 * Requests a second and their latency for readiness and for a proxied HTTP probe, beside a bare server of Node in a
 * process of its own; time, processor time and peak private memory of merged scrapes; readiness beside large ones.
 */
export async function run(): Promise<readonly Figure[]> {
  await using app = await serve((_request, response) => response.end("ok"));
  const handler = { kind: "http", scheme: "http", port: app.port, path: "/" } as const;
  await using status = await startStatusChild({
    appProbes: { "/app-health/app/livez": { handler, timeoutMs: 5_000 } },
    probeKeepalive: true,
  });
  await using bare = await startBareChild();
  const figures: Figure[] = [];
  for (const connections of connectionCounts) {
    figures.push(...(await load("bare node:http", bare, "/", connections)));
    figures.push(...(await load("/healthz/ready", status, "/healthz/ready", connections)));
    figures.push(...(await load("proxied HTTP probe", status, "/app-health/app/livez", connections)));
  }
  for (const series of seriesCounts) figures.push(...(await scrape(series)));
  figures.push(...(await probeBesideScrapes()));
  return figures;
}

async function load(what: string, server: StatusChild, path: string, connections: number): Promise<readonly Figure[]> {
  const latenciesMs: number[] = [];
  const cpuBefore = server.cpuMs();
  const endMs = performance.now() + seconds * 1_000;
  await Promise.all(Array.from({ length: connections }, () => askUntil(endMs, server.port, path, latenciesMs)));
  const cpuUs = ((server.cpuMs() - cpuBefore) * 1_000) / latenciesMs.length;
  latenciesMs.sort((a, b) => a - b);
  const at = (share: number): number => percentile(latenciesMs, share);
  const label = `${what}, ${String(connections)} connection${connections === 1 ? "" : "s"}`;
  return [
    { name: `${label}: answered`, value: latenciesMs.length / seconds, unit: "1/s" },
    { name: `${label}: p50`, value: at(0.5), unit: "ms" },
    { name: `${label}: p99`, value: at(0.99), unit: "ms" },
    { name: `${label}: processor`, value: cpuUs, unit: "us/request" },
  ];
}

/** One connection that asks again as soon as it is answered. The client is as thin as it can be: it shares the machine. */
async function askUntil(endMs: number, port: number, path: string, latenciesMs: number[]): Promise<void> {
  const socket = connect({ host: "127.0.0.1", port });
  socket.setNoDelay(true);
  await once(socket, "connect");
  const request = `GET ${path} HTTP/1.1\r\nHost: 127.0.0.1:${String(port)}\r\n\r\n`;
  while (performance.now() < endMs) {
    const startMs = performance.now();
    socket.write(request);
    await untilAnswered(socket);
    latenciesMs.push(performance.now() - startMs);
  }
  socket.destroy();
}

/** An answer with a length, which all of these have. */
async function untilAnswered(socket: Socket): Promise<void> {
  let text = "";
  for (;;) {
    const [chunk] = (await once(socket, "data")) as [Buffer];
    text += chunk.toString("latin1");
    const end = text.indexOf("\r\n\r\n");
    if (end < 0) continue;
    const length = /content-length: (\d+)/i.exec(text.slice(0, end))?.[1];
    if (length === undefined) {
      if (text.endsWith("0\r\n\r\n")) return;
    } else if (text.length >= end + 4 + Number(length)) return;
  }
}

async function scrape(series: number): Promise<readonly Figure[]> {
  const lines = Array.from({ length: series }, (_, index) => {
    return `app_requests_total{path="/a/path/of/some/length",code="200",series="${String(index)}"} ${String(index)}\n`;
  });
  const body = Buffer.from(`# TYPE app_requests_total counter\n${lines.join("")}`);
  await using app = await serve((_request, response) => response.end(body));
  const target = { host: "localhost", scheme: "http", port: app.port, path: "/metrics" } as const;
  await using status = await startStatusChild({ scrape: { envoyPort: undefined, targets: [target] } });
  await fetchAll(status.port);
  const atRest = status.privateBytes();
  using peak = status.watchPeak();
  const cpuBefore = status.cpuMs();
  const startMs = performance.now();
  for (let time = 0; time < scrapes; time++) await fetchAll(status.port);
  const label = `merged scrape of ${series.toLocaleString("en")} series (${(body.byteLength / 1e6).toFixed(1)} MB)`;
  return [
    { name: `${label}: time`, value: (performance.now() - startMs) / scrapes, unit: "ms" },
    { name: `${label}: processor`, value: (status.cpuMs() - cpuBefore) / scrapes, unit: "ms" },
    { name: `${label}: peak private memory above rest`, value: (peak.bytes() - atRest) / 1e6, unit: "MB", limit: 16 },
  ];
}

/** What scrapes of 100 MB, one after the other, add to readiness; the bare server is asked in turn with it. */
async function probeBesideScrapes(): Promise<readonly Figure[]> {
  const line = `envoy_cluster_upstream_rq{cluster_name="outbound|80||a.b.svc.cluster.local",code="200"} 1\n`;
  const piece = Buffer.from(line.repeat(10_000));
  const pieces = Math.ceil(100e6 / piece.byteLength);
  await using envoy = await serve((_request, response) => {
    Readable.from(Array.from({ length: pieces }, () => piece)).pipe(response);
  });
  await using status = await startStatusChild({ scrape: { envoyPort: envoy.port, targets: [] } });
  await using bare = await startBareChild();
  const url = ({ port }: StatusChild): string => `http://127.0.0.1:${String(port)}`;
  await fetchAll(status.port);
  await using prober = await startProber([{ url: `${url(status)}/healthz/ready` }, { url: url(bare) }]);
  for (let time = 0; time < scrapes; time++) await fetchAll(status.port);
  const [p99 = Number.NaN, bareP99 = Number.NaN] = (await prober.stop()).map((values) => percentile(values, 0.99));
  const label = "/healthz/ready beside scrapes of 100 MB";
  return [
    { name: `${label}: p99`, value: p99, unit: "ms" },
    { name: `${label}: p99 more than a bare server's`, value: p99 - bareP99, unit: "ms", limit: 5 },
  ];
}

async function fetchAll(port: number): Promise<void> {
  const answer = await fetch(`http://127.0.0.1:${String(port)}/metrics`, {
    headers: { "Accept-Encoding": "identity", "X-Prometheus-Scrape-Timeout-Seconds": "30" },
  });
  await answer.body?.pipeTo(new WritableStream());
}

async function serve(handler: RequestListener): Promise<{ readonly port: number } & AsyncDisposable> {
  const server = createServer(handler);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}
