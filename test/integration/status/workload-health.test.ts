// SPDX-License-Identifier: Apache-2.0
import { createServer } from "node:net";
import { expect, test } from "vitest";
import { systemClock } from "../../../src/lib/clock.ts";
import { runWorkloadHealth, type WorkloadHealth, type WorkloadProbeHandler } from "../../../src/status/index.ts";
import { answer, startFakeApp } from "../../fakes/fake-app.ts";
import { serving, startFakeHealth } from "../../fakes/fake-health.ts";
import { eventually } from "../../support/eventually.ts";
import { freePorts } from "../../support/free-ports.ts";
import { testLog } from "../../support/test-log.ts";
import { liveEnvoy } from "./status-fixture.ts";

interface Watched extends AsyncDisposable {
  readonly events: readonly WorkloadHealth[];
  readonly until: (count: number) => Promise<void>;
}

function watch(
  handler: WorkloadProbeHandler,
  options: { timeoutMs?: number; thresholds?: number; envoy?: () => typeof liveEnvoy } = {},
): Watched {
  const { timeoutMs = 1_000, thresholds = 1, envoy } = options;
  const events: WorkloadHealth[] = [];
  const stop = new AbortController();
  const config = {
    initialDelayMs: 0,
    timeoutMs,
    periodMs: 20,
    successThreshold: thresholds,
    failureThreshold: thresholds,
    handler,
  };
  const sources = {
    envoy: envoy === undefined ? undefined : { read: () => Promise.resolve(envoy()) },
    report: (health: WorkloadHealth) => events.push(health),
  };
  const end = runWorkloadHealth(config, sources, { clock: systemClock, log: testLog().log }, stop.signal);
  return {
    events,
    until: (count) => eventually(() => expect(events.length).toBeGreaterThanOrEqual(count), { withinMs: 3_000 }),
    async [Symbol.asyncDispose]() {
      stop.abort();
      await end;
    },
  };
}

/** An unhealthy state whose reason has this in it. */
function unhealthy(part: string): object {
  return { kind: "unhealthy", reason: expect.stringContaining(part) as string };
}

async function first(handler: WorkloadProbeHandler, timeoutMs = 1_000): Promise<WorkloadHealth | undefined> {
  await using watched = watch(handler, { timeoutMs });
  await watched.until(1);
  return watched.events[0];
}

function http(
  port: number,
  headers: readonly { readonly name: string; readonly value: string }[] = [],
): WorkloadProbeHandler {
  return { kind: "http", scheme: "http", host: "127.0.0.1", port, path: "/", headers, sourceAddress: "127.0.0.6" };
}

test("V1 HTTP 200 is healthy; 500 and refused are not, with the reason; headers as configured", async () => {
  let code = 200;
  await using app = await startFakeApp((_request, response) => response.writeHead(code).end());
  expect(await first(http(app.port, [{ name: "Host", value: "vm.example" }]))).toEqual({ kind: "healthy" });
  expect(app.requests[0]).toMatchObject({ remoteAddress: "127.0.0.6" });
  expect(app.requests[0]?.rawHeaders).toEqual(expect.arrayContaining(["vm.example", "istio-probe/1.0"]));
  code = 500;
  expect(await first(http(app.port))).toEqual({ kind: "unhealthy", reason: "status code 500" });
  expect(await first(http(1))).toEqual(unhealthy("ECONNREFUSED"));
});

test("V2 gRPC serving is healthy; every other answer is not, and none of them does harm to the agent", async () => {
  const statuses = { "": serving.serving, off: serving.notServing, odd: serving.unknown, gone: serving.serviceUnknown };
  await using app = await startFakeHealth({ statuses });
  const grpc = (service: string, port = app.port): WorkloadProbeHandler => ({
    kind: "grpc",
    host: "127.0.0.1",
    port,
    service,
  });
  expect(await first(grpc(""))).toEqual({ kind: "healthy" });
  for (const [service, reason] of [
    ["off", "NOT_SERVING"],
    ["odd", "UNKNOWN"],
    ["gone", "SERVICE_UNKNOWN"],
    ["none", "NOT_FOUND"],
  ] as const) {
    expect(await first(grpc(service))).toEqual(unhealthy(reason));
  }
  expect(await first(grpc("", 1))).toEqual(unhealthy("ECONNREFUSED"));
});

test("V3 TCP open and closed; a command that ends well, badly, not in time, or does not exist", async () => {
  await using app = await startFakeApp(answer(200));
  expect(await first({ kind: "tcp", host: "127.0.0.1", port: app.port })).toEqual({ kind: "healthy" });
  expect(await first({ kind: "tcp", host: "127.0.0.1", port: 1 })).toMatchObject({ kind: "unhealthy" });
  const exec = (...command: string[]): WorkloadProbeHandler => ({ kind: "exec", command });
  expect(await first(exec("true"))).toEqual({ kind: "healthy" });
  expect(await first(exec("sh", "-c", "exit 3"))).toEqual({ kind: "unhealthy", reason: "exit status 3" });
  const killed = { kind: "unhealthy", reason: "command timeout exceeded: signal: killed" };
  expect(await first(exec("sleep", "30"), 100)).toEqual(killed);
  expect(await first(exec("/nonexistent"))).toEqual(unhealthy("ENOENT"));
});

test("V4 a TCP port that is closed, open and closed again makes three events", async () => {
  const [port = 0] = await freePorts(1);
  await using watched = watch({ kind: "tcp", host: "127.0.0.1", port });
  await watched.until(1);
  const server = createServer((socket) => socket.destroy()).listen(port, "127.0.0.1");
  await watched.until(2);
  await new Promise((resolve) => server.close(resolve));
  await watched.until(3);
  expect(watched.events.map(({ kind }) => kind === "healthy")).toEqual([false, true, false]);
});

test("V5 only changes are told, and an Envoy that is not up counts as unhealthy until it was ready once", async () => {
  const codes = [200, 500, 500, 200, 500];
  await using app = await startFakeApp((_request, response) => response.writeHead(codes.shift() ?? 500).end());
  const envoys = [{ ...liveEnvoy, state: "INITIALIZING" }, liveEnvoy];
  await using watched = watch(http(app.port), { envoy: () => envoys.shift() ?? { ...liveEnvoy, state: "DRAINING" } });
  await watched.until(5);
  expect(watched.events.slice(0, 5)).toEqual([
    { kind: "unhealthy", reason: "server is not live, current state is: INITIALIZING" },
    { kind: "healthy" },
    { kind: "unhealthy", reason: "status code 500" },
    { kind: "healthy" },
    { kind: "unhealthy", reason: "status code 500" },
  ]);
});
