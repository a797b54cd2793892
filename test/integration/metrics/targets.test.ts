// SPDX-License-Identifier: Apache-2.0
import { createServer } from "node:https";
import { promisify } from "node:util";
import { gunzip, zstdDecompress } from "node:zlib";
import { expect, test } from "vitest";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { lazyMergedScrape } from "../../../src/metrics/index.ts";
import { createMergedScrape } from "../../../src/metrics/merged-scrape.ts";
import { answer, routes, startFakeApp } from "../../fakes/fake-app.ts";
import { testBudgets } from "../../support/budgets.ts";
import { eventually } from "../../support/eventually.ts";
import { listening } from "../../support/listening.ts";
import { createOpensslPki } from "../../support/openssl-pki.ts";
import { rawHttp } from "../../support/raw-http.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { createTestMetrics } from "../../support/agent-metrics.ts";
import { testLog } from "../../support/test-log.ts";
import { startStatus } from "../status/status-fixture.ts";

const body = "# TYPE app gauge\napp 1\n";
const plainRequest = {
  turn: () => Promise.resolve(),
  accept: undefined,
  userAgent: undefined,
  timeoutSeconds: undefined,
  waitedMs: 0,
  query: "",
};

function target(port: number, path = "/") {
  return { host: "localhost", scheme: "http" as const, port, path };
}

test("a target over TLS is scraped without a look at its certificate, a redirect on the same host is followed", async () => {
  await using directory = await temporaryDirectory();
  const { chainPem, keyPem } = await (await createOpensslPki(directory.path)).issue("spiffe://cluster.local/ns/a/sa/b");
  await using tls = await listening(
    createServer({ cert: chainPem, key: keyPem }, (_request, response) => response.end(body)),
  );
  await using app = await startFakeApp(
    routes({
      "/m": answer(302, "", { Location: "/n" }),
      "/n": answer(200, "# TYPE n gauge\nn 1\n"),
      "/loop": answer(302, "", { Location: "/loop" }),
    }),
  );
  const targets = [
    { ...target(tls.port), scheme: "https" as const, host: "127.0.0.1" },
    target(app.port, "/m"),
    target(app.port, "/loop"),
  ];
  await using status = await startStatus({ scrape: { envoyPort: undefined, targets } });
  const scraped = await (await fetch(status.url("/metrics"))).text();
  expect(scraped).toContain("\napp 1\n");
  expect(scraped).toContain("\nn 1\n");
  expect(scraped).toContain('istio_agent_scrape_failures_total{type="application"} 1\n');
});

test("a redirect to another host is a failure and causes no further request", async () => {
  await using app = await startFakeApp((request, response) => {
    const location = `http://127.0.0.1:${String(request.socket.localPort)}/n`;
    if (request.url === "/m") response.writeHead(302, { Location: location }).end();
    else response.end(body);
  });
  await using status = await startStatus({ scrape: { envoyPort: undefined, targets: [target(app.port, "/m")] } });
  const scraped = await (await fetch(status.url("/metrics"))).text();
  expect(scraped).not.toContain("\napp 1\n");
  expect(scraped).toContain('istio_agent_scrape_failures_total{type="application"} 1\n');
  expect(app.requests.map(({ url }) => url)).toEqual(["/m"]);
});

test("a body that announces too large a length fails before any of it is read", async () => {
  await using app = await startFakeApp((_request, response) => {
    response.writeHead(200, { "Content-Length": "1000000000" });
    response.write(body);
  });
  await using status = await startStatus({ scrape: { envoyPort: undefined, targets: [target(app.port)] } });
  expect(await (await fetch(status.url("/metrics"))).text()).not.toContain("\napp 1\n");
  const failed = status.records.find(({ message }) => message === "scrape target failed");
  expect(JSON.stringify(failed?.fields)).toContain("limit scrape-body-bytes of 33554432 bytes is reached");
});

test("a request to an IPv6 target has the address in brackets", async () => {
  await using app = await startFakeApp(answer(200, body), "::1");
  await using status = await startStatus({
    scrape: { envoyPort: undefined, targets: [{ ...target(app.port), host: "::1" }] },
  });
  expect(await (await fetch(status.url("/metrics"))).text()).toContain("\napp 1\n");
  expect(app.requests[0]?.rawHeaders.slice(0, 2)).toEqual(["Host", `[::1]:${String(app.port)}`]);
});

test("M7 the status is 200 whatever Envoy and the application return", async () => {
  for (const [envoyCode, appCode] of [
    [200, 200],
    [200, 500],
    [500, 200],
    [500, 500],
  ] as const) {
    await using envoy = await startFakeApp(answer(envoyCode, "# TYPE envoy gauge\nenvoy 1\n"));
    await using app = await startFakeApp(answer(appCode, body));
    await using status = await startStatus({ scrape: { envoyPort: envoy.port, targets: [target(app.port)] } });
    const scraped = await fetch(status.url("/metrics"));
    const text = await scraped.text();
    expect(scraped.status).toBe(200);
    expect(text.includes("\nenvoy 1\n")).toBe(envoyCode === 200);
    expect(text.includes("\napp 1\n")).toBe(appCode === 200);
    expect(text).toContain(`scrape_failures_total{type="envoy"} ${envoyCode === 200 ? "0" : "1"}`);
  }
});

test("M8 targets appear in their configured order even if they respond out of order", async () => {
  await using slow = await startFakeApp((_request, response) => {
    void systemClock.delay(150).then(() => response.end("# TYPE slow gauge\nslow 1"));
  });
  await using fast = await startFakeApp(answer(200, body));
  await using status = await startStatus({
    scrape: { envoyPort: undefined, targets: [target(slow.port), target(fast.port)] },
  });
  const text = await (await fetch(status.url("/metrics"))).text();
  expect(text).toMatch(/\nslow 1\n# TYPE app gauge\napp 1\n/);
  expect(text).not.toContain("# EOF");
});

test.each([true, false])(
  "M14 a body of the cap's size is kept, one byte more is dropped; length announced: %s",
  async (announced) => {
    const exact = `# TYPE app gauge\napp{x="${"y".repeat(1_000)}"} 1\n`;
    const budgets = testBudgets({ "scrape-body-bytes": exact.length });
    let extra = "";
    await using app = await startFakeApp((_request, response) => {
      if (announced) response.setHeader("Content-Length", exact.length + extra.length);
      response.write(exact);
      response.end(extra);
    });
    const metrics = createTestMetrics();
    const { log } = testLog();
    const merged = createMergedScrape({ envoyPort: undefined, targets: [target(app.port)] }, metrics, {
      log,
      clock: systemClock,
      budgets,
    });
    const scrape = async (): Promise<string> => {
      let text = "";
      const write = (piece: Uint8Array): Promise<void> => {
        text += Buffer.from(piece).toString();
        return Promise.resolve();
      };
      const request = { ...plainRequest, preempted: new AbortController().signal };
      await merged.scrape(request, { begin: () => undefined, write }, new AbortController().signal);
      return text;
    };
    expect(await scrape()).toContain(exact);
    extra = "\n";
    expect(await scrape()).not.toContain("app{");
    expect(metrics.scrape.failures.value("application")).toBe(1);
  },
);

test("M5 the response is compressed as the scraper prefers", async () => {
  const big = `# TYPE app gauge\n${Array.from({ length: 20_000 }, (_, n) => `app{n="${String(n)}"} 1\n`).join("")}`;
  await using app = await startFakeApp(answer(200, big));
  await using status = await startStatus({ scrape: { envoyPort: undefined, targets: [target(app.port)] } });
  const cases = [
    ["gzip", "gzip", promisify(gunzip)],
    ["gzip, zstd", "zstd", promisify(zstdDecompress)],
    ["gzip;q=1, zstd;q=0.5", "gzip", promisify(gunzip)],
    ["br, lz4", undefined, undefined],
  ] as const;
  for (const [accepted, coding, decode] of cases) {
    const scraped = await rawHttp(status.port, { target: "/metrics", headers: [`Accept-Encoding: ${accepted}`] });
    expect([scraped.headers.get("content-encoding"), scraped.headers.get("vary")]).toEqual([coding, "Accept-Encoding"]);
    if (decode === undefined) expect(scraped.body).toContain('app{n="19999"} 1\n');
    else expect((await decode(dechunk(scraped.body))).toString()).toContain(big);
  }
});

test("what modules count in gauges and histograms is exposed", async () => {
  const metrics = createTestMetrics();
  metrics.sds.streams.set(7);
  metrics.dns.upstreamDurationSeconds.observe(0.02);
  metrics.dns.upstreamDurationSeconds.observe(30);
  const { log } = testLog();
  const merged = lazyMergedScrape({ envoyPort: undefined, targets: [] }, metrics, {
    log,
    clock: systemClock,
    budgets: testBudgets(),
  });
  let text = "";
  const write = (piece: Uint8Array): Promise<void> => {
    text += Buffer.from(piece).toString();
    return Promise.resolve();
  };
  const request = { ...plainRequest, preempted: new AbortController().signal };
  await merged.scrape(request, { begin: () => undefined, write }, new AbortController().signal);
  expect(text).toContain("# TYPE attache_sds_streams gauge\nattache_sds_streams 7\n");
  const duration = "istio_agent_dns_upstream_request_duration_seconds";
  expect(text).toContain(
    [
      `# HELP ${duration} Time that upstream resolvers took.`,
      `# TYPE ${duration} histogram`,
      ...["0.001", "0.005", "0.01"].map((le) => `${duration}_bucket{le="${le}"} 0`),
      ...["0.1", "1", "5"].map((le) => `${duration}_bucket{le="${le}"} 1`),
      `${duration}_bucket{le="+Inf"} 2`,
      `${duration}_sum 30.02`,
      `${duration}_count 2`,
      "",
    ].join("\n"),
  );
  expect(text).toContain("istio_agent_wasm_cache_entries 0\n");
});

test("a scraper that hangs up costs no target a failure", async () => {
  await using app = await startFakeApp(() => undefined);
  await using status = await startStatus({ scrape: { envoyPort: undefined, targets: [target(app.port)] } });
  const gone = new AbortController();
  const scrape = fetch(status.url("/metrics"), { signal: gone.signal });
  await eventually(() => expect(app.requests).toHaveLength(1), { withinMs: 2_000 });
  gone.abort();
  await expect(scrape).rejects.toThrow();
  await eventually(
    async () => {
      const headers = { "X-Prometheus-Scrape-Timeout-Seconds": "0.05" };
      const text = await (await fetch(status.url("/metrics"), { headers })).text();
      expect(text).toContain("istio_agent_scrape_aborts_total 1\n");
    },
    { withinMs: 2_000 },
  );
  expect(status.records.filter(({ message }) => message === "scrape target failed").length).toBeLessThanOrEqual(20);
});

/** Takes apart a chunked body that was read as Latin-1. */
function dechunk(text: string): Buffer {
  const parts: Buffer[] = [];
  let at = 0;
  for (;;) {
    const end = text.indexOf("\r\n", at);
    const size = Number.parseInt(text.slice(at, end), 16);
    if (!(size > 0)) return Buffer.concat(parts);
    parts.push(Buffer.from(text.slice(end + 2, end + 2 + size), "latin1"));
    at = end + 2 + size + 2;
  }
}
