// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { answer, startFakeApp } from "../../fakes/fake-app.ts";
import { percentile, startProber } from "../../support/prober.ts";
import { startStatusChild } from "../../support/status-child.ts";

const mib = 1024 * 1024;
const patient = { "X-Prometheus-Scrape-Timeout-Seconds": "20" };
const numbers = (count: number): readonly number[] => Array.from({ length: count }, (_, number) => number);

const floods: Readonly<Record<string, string>> = {
  "a comment of 250 KB that an expression with backtracking never finishes": `# HELP a${" ".repeat(250_000)}x\rx\na 1\n`,
  "250,000 carriage returns": `# TYPE a histogram\n${"\r".repeat(250_000)}x 1\n`,
  "a family that is declared 1,500,000 times": `# TYPE a gauge\n${"# TYPE a counter\n".repeat(1_500_000)}`,
  "1,000,000 families": numbers(1_000_000)
    .map((number) => `# TYPE a${String(number)} gauge\n`)
    .join(""),
  "1,000,000 types": numbers(1_000_000)
    .map((number) => `# TYPE a t${String(number)}\n`)
    .join(""),
};

test.each(Object.entries(floods))(
  "%s in an application's metrics: probes are in time, memory is bounded, the others are scraped",
  async (_title, body) => {
    await using bad = await startFakeApp(answer(200, body));
    await using good = await startFakeApp(answer(200, "# TYPE good gauge\ngood 1\n"));
    const targets = [bad.port, good.port].map((port) => {
      return { host: "127.0.0.1", scheme: "http" as const, port, path: "/" };
    });
    await using status = await startStatusChild({ scrape: { envoyPort: undefined, targets } });
    const url = `http://127.0.0.1:${String(status.port)}`;
    await (await fetch(`${url}/healthz/ready`)).text();
    await using prober = await startProber([{ url: `${url}/healthz/ready`, pid: status.pid }]);
    const atRest = status.privateBytes();
    using peak = status.watchPeak();
    const accepted = { Accept: "application/openmetrics-text;version=1.0.0,text/plain;q=0.5" };
    const response = await fetch(`${url}/metrics`, {
      headers: { ...accepted, ...patient },
    });
    const text = await response.text();
    const [probes = []] = await prober.stop();
    expect(/^good 1$/m.test(text)).toBe(true);
    expect(percentile(probes, 1)).toBeLessThan(300);
    expect(peak.bytes() - atRest).toBeLessThan(40 * mib);
  },
);

test("50,000 families are passed on whole", async () => {
  const body = numbers(49_900)
    .map((number) => `# HELP a${String(number)} A.\n# TYPE a${String(number)} gauge\na${String(number)} 1\n`)
    .join("");
  await using app = await startFakeApp(answer(200, body));
  const target = { host: "127.0.0.1", scheme: "http" as const, port: app.port, path: "/" };
  await using status = await startStatusChild({ scrape: { envoyPort: undefined, targets: [target] } });
  const text = await (await fetch(`http://127.0.0.1:${String(status.port)}/metrics`, { headers: patient })).text();
  expect(text.includes(body)).toBe(true);
  expect(text).toContain(`istio_agent_target_up{target="127.0.0.1:${String(app.port)}/"} 1`);
});

const joinedFloods: Readonly<Record<string, string>> = {
  "one family with 40,000 metrics": `# TYPE a gauge\n${numbers(40_000)
    .map((number) => `a{n="${String(number)}"} 1\n`)
    .join("")}`,
  "60,000 names without a type": `# TYPE a gauge\na 1\n${numbers(60_000)
    .map((number) => `b${String(number)} 1\n`)
    .join("")}`,
  "1,900 families": numbers(1_900)
    .map((number) => `# HELP a${String(number)} A.\n# TYPE a${String(number)} gauge\na${String(number)} 1\n`)
    .join(""),
};

test.each(Object.entries(joinedFloods))(
  "C18: two OpenMetrics targets with %s in common: probes are in time, memory is bounded",
  async (_title, body) => {
    const type = { "Content-Type": "application/openmetrics-text; version=1.0.0; charset=utf-8" };
    await using one = await startFakeApp(answer(200, `${body}# EOF\n`, type));
    await using two = await startFakeApp(answer(200, `${body}# EOF\n`, type));
    const targets = [one.port, two.port].map((port) => ({
      host: "127.0.0.1",
      scheme: "http" as const,
      port,
      path: "/",
    }));
    await using status = await startStatusChild({ scrape: { envoyPort: undefined, targets } });
    const url = `http://127.0.0.1:${String(status.port)}`;
    await (await fetch(`${url}/metrics`, { headers: { Accept: "text/plain" } })).text();
    await using prober = await startProber([{ url: `${url}/healthz/ready`, pid: status.pid }]);
    const atRest = status.privateBytes();
    using peak = status.watchPeak();
    const headers = { Accept: "application/openmetrics-text;version=1.0.0,text/plain;q=0.5", ...patient };
    for (let scrape = 0; scrape < 5; scrape++) {
      const response = await fetch(`${url}/metrics`, { headers });
      expect(response.headers.get("content-type")).toContain("application/openmetrics-text");
      expect((await response.text()).split("\n").length).toBeGreaterThan(1_900);
    }
    const [probes = []] = await prober.stop();
    expect(percentile(probes, 1)).toBeLessThan(300);
    expect(peak.bytes() - atRest).toBeLessThan(40 * mib);
  },
);
