// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { answer, startFakeApp } from "../../fakes/fake-app.ts";
import { startStatus } from "../status/status-fixture.ts";

const text = { "Content-Type": "text/plain; version=0.0.4" };
const openMetrics = { "Content-Type": "application/openmetrics-text; version=1.0.0; charset=utf-8" };

function family(name: string, value = 1): string {
  return `# HELP ${name} Help.\n# TYPE ${name} gauge\n${name} ${String(value)}\n`;
}

test("M1 M2 agent, Envoy and application are merged, in this order, and the scrape counts itself", async () => {
  await using envoy = await startFakeApp(answer(200, family("envoy_up"), text));
  await using app = await startFakeApp(answer(200, family("app_up", 7), text));
  const targets = [{ host: "localhost", scheme: "http" as const, port: app.port, path: "/prom" }];
  await using status = await startStatus({ scrape: { envoyPort: envoy.port, targets } });
  const headers = { Accept: "text/plain", "User-Agent": "Prometheus/3" };
  const scrape = await fetch(status.url("/stats/prometheus?filter=x"), { headers });
  const body = await scrape.text();
  expect(scrape.headers.get("content-type")).toBe("text/plain; version=0.0.4; charset=utf-8");
  expect(body).toMatch(/^istio_agent_scrapes_total 1$/m);
  expect(body).toMatch(/istio_agent_[^]*envoy_up 1[^]*app_up 7[^]*istio_agent_target_up\{target="envoy"\} 1/);
  expect(envoy.requests[0]?.url).toBe("/stats/prometheus?filter=x");
  expect(app.requests[0]?.url).toBe("/prom");
  expect(app.requests[0]?.rawHeaders).toContain("Prometheus/3");
});

test("M10 a failed target costs only itself, and shows", async () => {
  await using good = await startFakeApp(answer(200, family("good_up"), text));
  await using bad = await startFakeApp(answer(500, "no"));
  const targets = [bad.port, good.port, 1].map((port) => ({
    host: "localhost",
    scheme: "http" as const,
    port,
    path: "/metrics",
  }));
  await using status = await startStatus({ scrape: { envoyPort: undefined, targets } });
  const body = await (await fetch(status.url("/metrics"))).text();
  expect(body).toContain("good_up 1");
  expect(body).not.toContain("\nno");
  expect(body).toContain('istio_agent_scrape_failures_total{type="application"} 2');
  expect(body).toContain(`istio_agent_target_up{target="localhost:${String(bad.port)}/metrics"} 0`);
  expect(body).toContain(`istio_agent_target_up{target="localhost:${String(good.port)}/metrics"} 1`);
});

test("a target that hangs costs the scraper's time minus a margin, and the rest arrives", async () => {
  await using hanging = await startFakeApp(() => undefined);
  await using good = await startFakeApp(answer(200, family("good_up"), text));
  const targets = [hanging.port, good.port].map((port) => ({
    host: "localhost",
    scheme: "http" as const,
    port,
    path: "/metrics",
  }));
  await using status = await startStatus({ scrape: { envoyPort: undefined, targets } });
  const start = performance.now();
  const scrape = await fetch(status.url("/metrics"), { headers: { "X-Prometheus-Scrape-Timeout-Seconds": "2" } });
  const body = await scrape.text();
  expect(performance.now() - start).toBeLessThan(2_000);
  expect(body).toContain("good_up 1");
  expect(body).toContain(`istio_agent_target_up{target="localhost:${String(hanging.port)}/metrics"} 0`);
});

test("M9 two OpenMetrics targets end in exactly one # EOF", async () => {
  await using one = await startFakeApp(answer(200, `${family("one")}# EOF\n`, openMetrics));
  await using two = await startFakeApp(answer(200, `${family("two").replaceAll("\n", "\r\n")}# EOF\r\n`, openMetrics));
  const targets = [one.port, two.port].map((port) => ({
    host: "localhost",
    scheme: "http" as const,
    port,
    path: "/metrics",
  }));
  await using status = await startStatus({ scrape: { envoyPort: undefined, targets } });
  const headers = { Accept: "application/openmetrics-text;version=1.0.0,text/plain;q=0.5" };
  const scrape = await fetch(status.url("/metrics"), { headers });
  const body = await scrape.text();
  expect(scrape.headers.get("content-type")).toBe("application/openmetrics-text; version=1.0.0; charset=utf-8");
  expect(body.match(/# EOF/g)).toHaveLength(1);
  expect(body.endsWith("\n# EOF\n")).toBe(true);
});

test("M13 a family of two targets keeps both samples under one type line", async () => {
  await using one = await startFakeApp(answer(200, '# TYPE f gauge\nf{a="1"} 1\n', text));
  await using two = await startFakeApp(answer(200, '# TYPE f gauge\nf{a="2"} 2\n', text));
  const targets = [one.port, two.port].map((port) => ({
    host: "localhost",
    scheme: "http" as const,
    port,
    path: "/metrics",
  }));
  await using status = await startStatus({ scrape: { envoyPort: undefined, targets } });
  const body = await (await fetch(status.url("/metrics"))).text();
  expect(body).toContain('# TYPE f gauge\nf{a="1"} 1\nf{a="2"} 2\n');
});

test("a large body streams through whole", async () => {
  const lines = Array.from({ length: 100_000 }, (_, index) => `big{n="${String(index)}"} ${String(index)}\n`);
  const body = `# TYPE big gauge\n${lines.join("")}`;
  await using app = await startFakeApp(answer(200, body, text));
  await using status = await startStatus({
    scrape: {
      envoyPort: undefined,
      targets: [{ host: "localhost", scheme: "http" as const, port: app.port, path: "/" }],
    },
  });
  const scraped = await (await fetch(status.url("/metrics"))).text();
  expect(scraped.includes(body)).toBe(true);
  expect(scraped).toContain(`istio_agent_target_up{target="localhost:${String(app.port)}/"} 1`);
});
