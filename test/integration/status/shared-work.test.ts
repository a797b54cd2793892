// SPDX-License-Identifier: Apache-2.0
import { networkInterfaces } from "node:os";
import { expect, test } from "vitest";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { startFakeApp } from "../../fakes/fake-app.ts";
import { rawHttp } from "../../support/raw-http.ts";
import { startStatus } from "./status-fixture.ts";

const outsideAddress = Object.values(networkInterfaces())
  .flat()
  .find((address) => address?.family === "IPv4" && !address.internal)?.address;
const live = "/app-health/app/livez";
const hosts = ["127.0.0.1", ...(outsideAddress === undefined ? [] : [outsideAddress])];

test.each(hosts)("equal probes from %s share one request to the application, others do not", async (host) => {
  await using app = await startFakeApp((_request, response) => {
    void systemClock.delay(300).then(() => response.end("ok"));
  });
  const handler = { kind: "http", scheme: "http", port: app.port, path: "/" } as const;
  await using status = await startStatus({ appProbes: { [live]: { handler, timeoutMs: 5_000 } } });
  const ask = (headers: readonly string[]) => rawHttp(status.port, { target: live, host, headers });
  const answers = await Promise.all([...Array.from({ length: 50 }, () => ask([])), ask(["X-Probe: other"])]);
  expect(new Set(answers.map(({ status: code, body }) => `${String(code)} ${body}`))).toEqual(new Set(["200 ok"]));
  expect(app.requests).toHaveLength(2);
});

test.each(["identity", "gzip"])("equal scrapes share one, which all get whole; encoding %s", async (coding) => {
  await using app = await startFakeApp((_request, response) => {
    void systemClock.delay(300).then(() => response.end(`# TYPE app gauge\n${'app{n="1"} 1\n'.repeat(20_000)}`));
  });
  const targets = [{ host: "localhost", scheme: "http" as const, port: app.port, path: "/" }];
  await using status = await startStatus({ scrape: { envoyPort: undefined, targets } });
  const headers = { "Accept-Encoding": coding };
  const texts = await Promise.all(
    Array.from({ length: 20 }, async () => await (await fetch(status.url("/metrics"), { headers })).text()),
  );
  expect(new Set(texts).size).toBe(1);
  expect(texts[0]).toContain('app{n="1"} 1\n'.repeat(20_000));
  expect(app.requests).toHaveLength(1);
});

test("scrapes that hang for as long as their callers say keep no other scraper waiting", async () => {
  await using app = await startFakeApp(() => undefined);
  const targets = [{ host: "localhost", scheme: "http" as const, port: app.port, path: "/" }];
  await using status = await startStatus({ scrape: { envoyPort: undefined, targets } });
  const host = outsideAddress ?? "127.0.0.1";
  const scrape = (seconds: number) =>
    rawHttp(status.port, {
      target: `/metrics?of=${String(seconds)}`,
      host,
      headers: [`X-Prometheus-Scrape-Timeout-Seconds: ${String(seconds)}`],
    });
  const held = Array.from({ length: 4 }, (_, number) => scrape(86_400 + number).catch(() => undefined));
  const startMs = performance.now();
  expect((await scrape(5)).status).toBe(200);
  expect(performance.now() - startMs).toBeLessThan(5_000);
  await status[Symbol.asyncDispose]();
  await Promise.all(held);
});
