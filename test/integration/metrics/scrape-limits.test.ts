// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import type { ServerResponse } from "node:http";
import { expect, test } from "vitest";
import { startFakeApp } from "../../fakes/fake-app.ts";
import { startStatusChild } from "../../support/status-child.ts";

const chunk = Buffer.from(`filler{n="${"x".repeat(1_000)}"} 1\n`.repeat(64));

/** 100,000 series of about 100 bytes each. */
const manySeries = Buffer.from(
  `# TYPE good counter\n${Array.from({ length: 100_000 }, (_, index) => {
    return `good{path="/a/path/of/some/length",method="GET",code="200",series="${String(index)}"} ${String(index)}\n`;
  }).join("")}`,
);

/** Writes a body of 200 MB as fast as it is taken. */
async function flood(response: ServerResponse): Promise<void> {
  response.writeHead(200, { "Content-Type": "text/plain" });
  response.write("# TYPE filler gauge\n");
  for (let sent = 0; sent < 200e6 && !response.destroyed; sent += chunk.byteLength) {
    if (!response.write(chunk)) {
      const gone = new AbortController();
      response.once("close", () => {
        gone.abort();
      });
      await once(response, "drain", { signal: gone.signal }).catch(() => undefined);
      response.removeAllListeners("close");
    }
  }
  response.end();
}

test("a body in many small chunks arrives in its order, however the chunks fall into reads", async () => {
  const lines = Array.from({ length: 50_000 }, (_, index) => `small{n="${String(index)}"} ${String(index)}\n`);
  await using app = await startFakeApp((_request, response) => {
    response.write("# TYPE small gauge\n");
    for (let at = 0; at < lines.length; at += 10) response.write(lines.slice(at, at + 10).join(""));
    response.end();
  });
  const target = { host: "localhost", scheme: "http", port: app.port, path: "/" } as const;
  await using status = await startStatusChild({ scrape: { envoyPort: undefined, targets: [target] } });
  const { body } = await scrape(status.port, undefined);
  expect(body.includes(`# TYPE small gauge\n${lines.join("")}`)).toBe(true);
});

test("beside a large, a hanging and an endless target the response is in time, within its memory, and has the good parts", async () => {
  let isWarm = false;
  const afterWarmUp = (answer: (response: ServerResponse) => unknown) =>
    startFakeApp((_request, response) => (isWarm ? answer(response) : response.end("# TYPE small gauge\nsmall 1\n")));
  await using envoy = await startFakeApp((_request, response) => response.end("# TYPE envoy_up gauge\nenvoy_up 1\n"));
  await using good = await afterWarmUp((response) => response.end(manySeries));
  await using hanging = await afterWarmUp(() => undefined);
  await using endless = await afterWarmUp(flood);
  const targets = [good, hanging, endless].map(({ port }) => ({
    host: "localhost",
    scheme: "http" as const,
    port,
    path: "/m",
  }));
  await using status = await startStatusChild({ scrape: { envoyPort: envoy.port, targets } });
  // what the first scrape loads is there at rest too
  await scrape(status.port, undefined);
  isWarm = true;
  const keptAtRest = await status.keptBytes();
  const atRest = status.privateBytes();
  const machineMs = await readDirectly(good.port, endless.port);
  using peak = status.watchPeak();
  const { body, ms } = await scrape(status.port, "6");
  // what it takes to read as much from the targets themselves is this machine's own
  expect(ms).toBeLessThan(6_200 + machineMs);
  expect(body.includes(manySeries)).toBe(true);
  expect(body.includes("envoy_up 1\n")).toBe(true);
  expect(body.includes("istio_agent_scrapes_total 2\n")).toBe(true);
  const up = [good, hanging, endless].map(({ port }) =>
    body.includes(`target_up{target="localhost:${String(port)}/m"} 1`),
  );
  expect(up).toEqual([true, false, false]);
  expect(peak.bytes() - atRest).toBeLessThan(16 * 1024 * 1024);
  expect((await status.keptBytes()) - keptAtRest).toBeLessThan(2 * 1024 * 1024);
});

/** How long it takes to read the good body, and as much of the endless one as a scrape takes of it. */
async function readDirectly(goodPort: number, endlessPort: number): Promise<number> {
  const start = performance.now();
  await (await fetch(`http://localhost:${String(goodPort)}/`)).arrayBuffer();
  const stop = new AbortController();
  const endless = await fetch(`http://localhost:${String(endlessPort)}/`, { signal: stop.signal });
  let read = 0;
  for await (const part of endless.body ?? []) {
    read += (part as Uint8Array).byteLength;
    if (read > 32 * 1024 * 1024) break;
  }
  stop.abort();
  return performance.now() - start;
}

async function scrape(
  port: number,
  timeoutSeconds: string | undefined,
): Promise<{ readonly body: Buffer; readonly ms: number }> {
  const headers: Record<string, string> = { "Accept-Encoding": "identity" };
  if (timeoutSeconds !== undefined) headers["X-Prometheus-Scrape-Timeout-Seconds"] = timeoutSeconds;
  const start = performance.now();
  const answer = await fetch(`http://127.0.0.1:${String(port)}/stats/prometheus`, { headers });
  const body = Buffer.from(await answer.arrayBuffer());
  return { body, ms: performance.now() - start };
}
