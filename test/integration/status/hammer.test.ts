// SPDX-License-Identifier: Apache-2.0
import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { answer, startFakeApp } from "../../fakes/fake-app.ts";
import { eventually } from "../../support/eventually.ts";
import { percentile, startProber } from "../../support/prober.ts";
import { startBareChild, startStatusChild } from "../../support/status-child.ts";

const hammer = fileURLToPath(new URL("../../support/status-hammer.ts", import.meta.url));
/** The short run shares its machine with other tests; the minute is for one that has it for itself. */
const seconds = Number(process.env["ATTACHE_HAMMER_SECONDS"] ?? 8);
const sharesMachine = seconds < 60;
const mostMs = 20;

test(`64 clients, some of them bad, on every endpoint for ${String(seconds)} s: no crash, no growth, readiness in time`, async () => {
  const series = `# TYPE app gauge\n${Array.from({ length: 500 }, (_, n) => `app{n="${String(n)}"} 1\n`).join("")}`;
  await using app = await startFakeApp(answer(200, series));
  const handler = { kind: "http", scheme: "http", port: app.port, path: "/" } as const;
  await using status = await startStatusChild({
    appProbes: {
      "/app-health/app/livez": { handler, timeoutMs: 1_000 },
      "/app-health/app/readyz": { handler: { kind: "tcp", port: app.port }, timeoutMs: 1_000 },
      "/app-lifecycle/app/prestopz": { handler, timeoutMs: 1_000 },
    },
    scrape: { envoyPort: app.port, targets: [{ host: "localhost", scheme: "http", port: app.port, path: "/metrics" }] },
  });
  await using bare = await startBareChild();
  const filesBefore = status.openFiles();
  const clients = fork(hammer, [String(status.port), "64"], { stdio: ["ignore", "ignore", "inherit", "ipc"] });
  const outcome = once(clients, "message");
  const exited = once(clients, "exit");
  // what the first requests load is there from then on
  await systemClock.delay(2_000);
  // the clients and whatever else this machine does have its processors too; the time without one is not counted
  const targets = [
    { url: `http://127.0.0.1:${String(status.port)}/healthz/ready`, pid: status.pid },
    { url: `http://127.0.0.1:${String(bare.port)}/`, pid: bare.pid },
  ];
  await using prober = await startProber(targets);
  const keptBefore = await status.keptBytes();
  await systemClock.delay(seconds * 1_000);
  const [ready = [], reference = []] = await prober.stop();
  clients.send("stop");
  const [result] = (await outcome) as [{ readonly requests: number; readonly answers: Record<string, number> }];
  await exited;
  expect(result.requests).toBeGreaterThan(seconds * 50);
  expect(Object.keys(result.answers).sort()).toEqual(["200", "307", "400", "404", "405"]);
  expect(ready.length).toBeGreaterThan(seconds * 10);
  const [ready99, reference99] = [percentile(ready, 0.99), percentile(reference, 0.99)];
  process.stdout.write(`readiness under the hammer: p99 ${ready99.toFixed(1)} ms, bare ${reference99.toFixed(1)} ms\n`);
  // a bare server that nobody else asks needs a millisecond; on a busy machine several, and the agent as many times more
  expect(ready99).toBeLessThan(mostMs + (sharesMachine ? 3 * reference99 : 0));
  // of the clients nothing is left
  await eventually(() => expect(status.openFiles()).toBeLessThanOrEqual(filesBefore + 8), { withinMs: 5_000 });
  expect((await status.keptBytes()) - keptBefore).toBeLessThan(2 * 1024 * 1024);
}, 120_000);
