// SPDX-License-Identifier: Apache-2.0
import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo, Server } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { HealthCheckResponse } from "../../../src/gen/grpc/health/v1/health.ts";
import { systemClock } from "../../../src/lib/clock.ts";
import type { HealthCheckConfig, HealthCheckMethod } from "../../../src/xds/health/health-check-config.ts";
import { checkWorkload } from "../../../src/xds/health/check-workload.ts";
import { startHealthChecks, type WorkloadHealth } from "../../../src/xds/index.ts";
import { eventually } from "../../support/eventually.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { type GrpcJsMethods, startGrpcJsServer } from "../../support/grpc-js-peer.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { testLog } from "../../support/test-log.ts";

const host = "127.0.0.1";

function configWith(method: HealthCheckMethod, more: Partial<HealthCheckConfig> = {}): HealthCheckConfig {
  const pace = { initialDelayMs: 0, periodMs: 10_000, timeoutMs: 1_000, successThreshold: 1, failureThreshold: 1 };
  return { ...pace, method, sourceAddress: undefined, ...more };
}

function check(method: HealthCheckMethod, timeoutMs = 2_000, sourceAddress?: string): Promise<void> {
  return checkWorkload(configWith(method, { sourceAddress }), { clock: systemClock }, AbortSignal.timeout(timeoutMs));
}

async function listen(server: Server): Promise<{ readonly port: number } & AsyncDisposable> {
  await new Promise<void>((resolve) =>
    server.listen(0, host, () => {
      resolve();
    }),
  );
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: () =>
      new Promise((resolve) => {
        server.close(() => {
          resolve();
        });
      }),
  };
}

describe("http", () => {
  const method = (port: number, path = "/"): HealthCheckMethod => ({
    kind: "http",
    scheme: "http",
    host,
    port,
    path,
    headers: [["Host", "me"]],
  });

  test("200 and redirects are well, 500 and nobody are not; the source address and headers are as told", async () => {
    const seen: unknown[] = [];
    const server = createServer((request, response) => {
      seen.push(request.socket.remoteAddress, request.headers.host, request.headers["user-agent"]);
      response.writeHead(Number(request.url?.slice(1))).end();
    });
    const listening = await listen(server);
    await check(method(listening.port, "/200"), 2_000, "127.0.0.6");
    expect(seen).toEqual(["127.0.0.6", "me", "istio-probe/1.0"]);
    await check(method(listening.port, "/302"));
    await expect(check(method(listening.port, "/500"))).rejects.toThrow("HTTP status 500");
    await listening[Symbol.asyncDispose]();
    await expect(check(method(listening.port))).rejects.toThrow("ECONNREFUSED");
  });

  test("a certificate of the workload's own is not in the way", async () => {
    await using directory = await temporaryDirectory();
    const [keyPath, certPath] = [join(directory.path, "key"), join(directory.path, "cert")];
    const newKey = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", keyPath];
    execFileSync("openssl", ["req", "-x509", ...newKey, "-out", certPath, "-subj", "/O=me"], { stdio: "ignore" });
    const tls = { key: await readFile(keyPath), cert: await readFile(certPath) };
    await using listening = await listen(createTlsServer(tls, (_request, response) => response.end()));
    await check({ kind: "http", scheme: "https", host, port: listening.port, path: "/", headers: [] });
  });
});

test("tcp: an open port is well, a closed one is not", async () => {
  const listening = await listen(createServer());
  await check({ kind: "tcp", host, port: listening.port });
  await listening[Symbol.asyncDispose]();
  await expect(check({ kind: "tcp", host, port: listening.port })).rejects.toThrow("ECONNREFUSED");
});

test.each([
  ["SERVING", 1, true],
  ["NOT_SERVING", 2, false],
  ["UNKNOWN", 0, false],
  ["SERVICE_UNKNOWN", 3, false],
] as const)("grpc: %s", async (_name, value, isWell) => {
  const answer = Buffer.from(HealthCheckResponse.encode(HealthCheckResponse.fromPartial({ status: value })).finish());
  await using peer = await startGrpcJsServer(
    {
      "/grpc.health.v1.Health/Check": (_call, callback) => {
        callback(null, answer);
      },
    },
    `${host}:0`,
  );
  const checking = check({ kind: "grpc", host, port: peer.port, service: "" });
  if (isWell) await checking;
  else await expect(checking).rejects.toThrow(`gRPC health status ${String(value)}`);
});

test("grpc: a server without the health service is not well", async () => {
  const other: GrpcJsMethods[string] = (call, callback) => {
    callback(null, call.request);
  };
  await using peer = await startGrpcJsServer({ "/some.Other/Method": other }, `${host}:0`);
  await expect(check({ kind: "grpc", host, port: peer.port, service: "" })).rejects.toThrow("UNIMPLEMENTED");
});

test("exec: exit 0 is well; another, a missing program and one that hangs are not", async () => {
  await check({ kind: "exec", command: ["true"] });
  await expect(check({ kind: "exec", command: ["sh", "-c", "echo broken >&2; exit 3"] })).rejects.toThrow("sh: broken");
  await expect(check({ kind: "exec", command: ["./no-such-program"] })).rejects.toThrow("ENOENT");
  await expect(check({ kind: "exec", command: ["sleep", "60"] }, 100)).rejects.toThrow();
});

test("changes are reported once each, after as many equal results as asked; Envoy is asked first", async () => {
  const clock = new FakeClock();
  const reports: WorkloadHealth[] = [];
  const results: (string | undefined)[] = [undefined, "a", undefined, "b", "c", "d", undefined, undefined, undefined];
  const envoy: (string | undefined)[] = ["Envoy is not live"];
  const config = configWith(
    { kind: "tcp", host, port: 1 },
    { initialDelayMs: 5_000, successThreshold: 2, failureThreshold: 3 },
  );
  await using _checks = startHealthChecks(config, {
    log: testLog().log,
    clock,
    envoyProblem: () => Promise.resolve(envoy.shift()),
    check: () => {
      const result = results.shift();
      return result === undefined ? Promise.resolve() : Promise.reject(new Error(result));
    },
    report: (health) => reports.push(health),
  });
  await clock.advance(4_999);
  expect(envoy).toHaveLength(1);
  await clock.advance(1);
  await eventually(
    () => {
      expect(envoy).toHaveLength(0);
    },
    { withinMs: 1_000 },
  );
  for (let round = 0; round < 10; round++) await clock.advance(10_000);
  expect(reports).toEqual([{ kind: "unhealthy", reason: "d" }, { kind: "healthy" }]);
});
