// SPDX-License-Identifier: Apache-2.0
import { execFile, fork } from "node:child_process";
import { once } from "node:events";
import { createServer, type RequestListener } from "node:http";
import type { AddressInfo } from "node:net";
import { networkInterfaces } from "node:os";
import { join } from "node:path";
import { Readable } from "node:stream";
import { promisify } from "node:util";
import type { Pod } from "../../test/support/pod.ts";
import { percentile, startProber } from "../../test/support/prober.ts";
import { startBareChild, startStatusChild, type StatusChild } from "../../test/support/status-child.ts";
import { startBackends, startBenchPod } from "./bench-pod.ts";
import type { Comparison } from "./comparison.ts";
import type { Figure, Row } from "./figure.ts";
import { assertLoad } from "./load-assertion.ts";
import { findPeer } from "./peer.ts";
import { type Readings, type RowSpec, runInRounds } from "./rounds.ts";

export const name = "status";

const connectionCounts = [1, 8, 64] as const;
const rounds = 3;
const seconds = 1;
/** By then the agents have cleaned up after their start. */
const settleMs = 5_000;
const comparedScrapes = [
  { key: "scrape10", label: "merged scrape of 10 series", series: 10, coding: "identity", times: 30 },
  { key: "scrape100k", label: "merged scrape of 100,000 series", series: 100_000, coding: "identity", times: 5 },
  { key: "gzip100k", label: "the same with gzip", series: 100_000, coding: "gzip", times: 5 },
] as const;
const seriesCounts = [10_000, 100_000] as const;
const scrapes = 5;
const execute = promisify(execFile);

/**
 * Readiness, proxied HTTP probes and merged scrapes of the whole agent, beside the smallest servers of Node.js that do the
 * same, and beside the peer; memory of scrapes; readiness beside large ones. Asserts that all responses of probes have status
 * 200 and are not too few, the series in scrapes, and the bytes of large ones.
 */
export async function run(): Promise<readonly Row[]> {
  const rows: Row[] = [...(await compare())];
  for (const series of seriesCounts) rows.push(...(await scrape(series)));
  rows.push(...(await probeBesideScrapes()));
  return rows;
}

/** Callers come from another address than loopback where the machine has one, as a kubelet does. */
function callersHost(): string {
  const all = Object.values(networkInterfaces()).flatMap((entries) => entries ?? []);
  return all.find(({ family, internal }) => family === "IPv4" && !internal)?.address ?? "127.0.0.1";
}

async function compare(): Promise<readonly Comparison[]> {
  let body: Buffer = Buffer.alloc(0);
  await using app = await serve((request, response) => response.end(request.url === "/" ? "ok" : body));
  await using backends = await startBackends();
  const peer = findPeer();
  const env = {
    ISTIO_KUBE_APP_PROBERS: JSON.stringify({
      "/app-health/app/livez": { httpGet: { path: "/", port: app.port }, timeoutSeconds: 5 },
    }),
    ISTIO_PROMETHEUS_ANNOTATIONS: JSON.stringify({ scrape: "true", port: String(app.port), path: "/metrics" }),
  };
  await using own = await startBenchPod({ backends, peer: undefined, env });
  await own.untilReady();
  await using others = peer === undefined ? undefined : await startBenchPod({ backends, peer, env });
  await others?.untilReady();
  await using reference = await startReference(app.port);
  await new Promise((resolve) => setTimeout(resolve, settleMs));
  const agent = async ({ ports }: Pod): Promise<Readings> => ({
    ...(await probeAll({ ready: [ports.status, "/healthz/ready"], probe: [ports.status, "/app-health/app/livez"] })),
    ...(await scrapeAll(ports.status, (series) => {
      body = seriesBody(series);
    })),
  });
  return await runInRounds({
    rounds,
    subjects: {
      attache: () => agent(own),
      reference: () => probeAll({ ready: [reference.emptyPort, "/"], probe: [reference.proxyPort, "/"] }),
      peer: others && (() => agent(others)),
    },
    rows: comparedRows(),
  });
}

function comparedRows(): Readonly<Record<string, RowSpec>> {
  const rows: Record<string, RowSpec> = {};
  for (const count of connectionCounts) {
    const connections = `${String(count)} connection${count === 1 ? "" : "s"}`;
    const limits = { peer: { atLeast: 0.8 } };
    rows[`ready${String(count)}`] = {
      name: `/healthz/ready, ${connections}`,
      unit: "1/s",
      limits: { ...limits, reference: { atLeast: 0.85 } },
    };
    rows[`probe${String(count)}`] = { name: `proxied HTTP probe, ${connections}`, unit: "1/s", limits };
  }
  rows["ready64p99"] = { name: "/healthz/ready, 64 connections: p99", unit: "ms" };
  rows["probe64p99"] = { name: "proxied HTTP probe, 64 connections: p99", unit: "ms", limits: { peer: { atMost: 1 } } };
  for (const { key, label } of comparedScrapes) {
    rows[key] = { name: label, unit: "ms", limits: { peer: { atMost: 1.2 } } };
  }
  return rows;
}

/** @param targets port and path, by the key of their rows */
async function probeAll(targets: Readonly<Record<string, readonly [number, string]>>): Promise<Readings> {
  const readings: Record<string, number> = {};
  for (const [key, [port, path]] of Object.entries(targets)) {
    for (const count of connectionCounts) {
      const args = [callersHost(), String(port), path, String(count), String(seconds)];
      const { stdout } = await execute(process.execPath, [join(import.meta.dirname, "http-load-program.ts"), ...args]);
      const { answered, failures, perSecond, p99Ms } = JSON.parse(stdout) as Readonly<Record<string, number>>;
      assertLoad(`responses of ${path} with status 200`, answered ?? 0, (answered ?? 0) + (failures ?? 0), 1);
      assertLoad(`responses of ${path}`, answered ?? 0, 100 * seconds);
      readings[`${key}${String(count)}`] = perSecond ?? Number.NaN;
      readings[`${key}${String(count)}p99`] = p99Ms ?? Number.NaN;
    }
  }
  return readings;
}

async function scrapeAll(port: number, prepare: (series: number) => void): Promise<Readings> {
  const readings: Record<string, number> = {};
  for (const { key, series, coding, times } of comparedScrapes) {
    prepare(series);
    const args = [`http://${callersHost()}:${String(port)}/stats/prometheus`, coding, String(times)];
    const { stdout } = await execute(process.execPath, [join(import.meta.dirname, "scrape-load-program.ts"), ...args]);
    const scraped = JSON.parse(stdout) as Readonly<Record<string, number>>;
    assertLoad("series in a scrape", scraped["series"] ?? 0, series, 1);
    readings[key] = scraped["ms"] ?? Number.NaN;
  }
  return readings;
}

interface Reference extends AsyncDisposable {
  readonly emptyPort: number;
  readonly proxyPort: number;
}

async function startReference(appPort: number): Promise<Reference> {
  const child = fork(join(import.meta.dirname, "status-reference-program.ts"), [String(appPort)]);
  const [[emptyPort, proxyPort]] = (await once(child, "message")) as [[number, number]];
  return {
    emptyPort,
    proxyPort,
    async [Symbol.asyncDispose]() {
      const gone = once(child, "exit");
      child.disconnect();
      await gone;
    },
  };
}

function seriesBody(series: number): Buffer {
  const lines = Array.from({ length: series }, (_, index) => {
    return `app_requests_total{path="/a/path/of/some/length",code="200",series="${String(index)}"} ${String(index)}\n`;
  });
  return Buffer.from(`# TYPE app_requests_total counter\n${lines.join("")}`);
}

async function scrape(series: number): Promise<readonly Figure[]> {
  const body = seriesBody(series);
  await using app = await serve((_request, response) => response.end(body));
  const target = { host: "localhost", scheme: "http", port: app.port, path: "/metrics" } as const;
  await using status = await startStatusChild({ scrape: { envoyPort: undefined, targets: [target] } });
  await fetchAll(status.port);
  const atRest = status.privateBytes();
  using peak = status.watchPeak();
  const cpuBefore = status.cpuMs();
  const startMs = performance.now();
  for (let time = 0; time < scrapes; time++) {
    assertLoad("bytes of a scrape", await fetchAll(status.port), body.byteLength, 1);
  }
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
  for (let time = 0; time < scrapes; time++) {
    assertLoad("bytes of a large scrape", await fetchAll(status.port), 100e6, 1);
  }
  const [p99 = Number.NaN, bareP99 = Number.NaN] = (await prober.stop()).map((values) => percentile(values, 0.99));
  const label = "/healthz/ready beside scrapes of 100 MB";
  return [
    { name: `${label}: p99`, value: p99, unit: "ms" },
    { name: `${label}: p99 more than a bare server's`, value: p99 - bareP99, unit: "ms", limit: 5 },
  ];
}

/** @returns the bytes of the response */
async function fetchAll(port: number): Promise<number> {
  const answer = await fetch(`http://127.0.0.1:${String(port)}/metrics`, {
    headers: { "Accept-Encoding": "identity", "X-Prometheus-Scrape-Timeout-Seconds": "30" },
  });
  let bytes = 0;
  const count = (piece: Uint8Array): void => {
    bytes += piece.byteLength;
  };
  await answer.body?.pipeTo(new WritableStream({ write: count }));
  return bytes;
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
