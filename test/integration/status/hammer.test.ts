// SPDX-License-Identifier: Apache-2.0
import { fork } from "node:child_process";
import { once } from "node:events";
import { Agent, request } from "node:http";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { systemClock } from "../../../src/lib/clock.ts";
import { answer, startFakeApp } from "../../fakes/fake-app.ts";
import { startBareChild, startStatusChild } from "../../support/status-child.ts";

const hammer = fileURLToPath(new URL("../../support/status-hammer.ts", import.meta.url));
const seconds = Number(process.env["ATTACHE_HAMMER_SECONDS"] ?? 8);

test(`64 clients, some of them bad, on every endpoint for ${String(seconds)} s: no crash, no growth, readiness in time`, async () => {
  const series = `# TYPE app gauge\n${Array.from({ length: 500 }, (_, n) => `app{n="${String(n)}"} 1\n`).join("")}`;
  await using app = await startFakeApp(answer(200, series));
  const handler = { kind: "http", scheme: "http", port: app.port, path: "/" } as const;
  await using status = await startStatusChild({
    appProbes: {
      "/app-health/app/livez": { handler, timeoutMs: 1_000 },
      "/app-health/app/readyz": { handler: { kind: "tcp", port: app.port }, timeoutMs: 1_000 },
    },
    scrape: { envoyPort: app.port, targets: [{ host: "localhost", scheme: "http", port: app.port, path: "/metrics" }] },
  });
  await using bare = await startBareChild();
  const clients = fork(hammer, [String(status.port), "64"], { stdio: ["ignore", "ignore", "inherit", "ipc"] });
  const outcome = once(clients, "message");
  const exited = once(clients, "exit");
  const agent = new Agent({ keepAlive: true });
  // what the first requests load is there from then on
  await systemClock.delay(2_000);
  const latenciesMs: number[] = [];
  const bareMs: number[] = [];
  const bytes: number[] = [];
  for (const endMs = performance.now() + seconds * 1_000; performance.now() < endMs; ) {
    latenciesMs.push(await probe(agent, status.port));
    bareMs.push(await probe(agent, bare.port));
    bytes.push(status.privateBytes());
    await systemClock.delay(10);
  }
  clients.send("stop");
  const [result] = (await outcome) as [{ readonly requests: number; readonly answers: Record<string, number> }];
  await exited;
  agent.destroy();
  expect(result.requests).toBeGreaterThan(seconds * 50);
  expect(Object.keys(result.answers).sort()).toEqual(["200", "307", "400", "404", "405"]);
  // the idle server beside it shows what the machine and its other work add
  expect(p99(latenciesMs)).toBeLessThan(20 + 3 * p99(bareMs));
  const half = Math.floor(bytes.length / 2);
  const growth = Math.max(...bytes.slice(half)) - Math.max(...bytes.slice(0, half));
  expect(growth).toBeLessThan(12 * 1024 * 1024);
}, 120_000);

function p99(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length * 0.99)] ?? 0;
}

function probe(agent: Agent, port: number): Promise<number> {
  const start = performance.now();
  return new Promise((resolve, reject) => {
    const asked = request({ host: "127.0.0.1", port, path: "/healthz/ready", agent }, (response) => {
      response.resume().on("end", () => {
        if (response.statusCode === 200) resolve(performance.now() - start);
        else reject(new Error(`readiness answered ${String(response.statusCode)}`));
      });
    });
    asked.on("error", reject);
    asked.end();
  });
}
