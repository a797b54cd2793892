// SPDX-License-Identifier: Apache-2.0
import { readdirSync, readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { systemClock } from "../../../src/lib/async/clock.ts";
import type { WorkloadCheckMethod } from "../../../src/model/workload-check.ts";
import { testBudgets } from "../../support/budgets.ts";
import { checkWorkload, WorkloadCheckError } from "../../../src/status/index.ts";
import { answer, routes, startFakeApp } from "../../fakes/fake-app.ts";
import { serving, startFakeHealth } from "../../fakes/fake-health.ts";
import { eventually } from "../../support/eventually.ts";

/** "healthy", or why not. */
async function check(method: WorkloadCheckMethod, timeoutMs = 1_000): Promise<string> {
  const asked = { method, timeoutMs, sourceAddress: "127.0.0.6" };
  try {
    await checkWorkload(asked, { clock: systemClock, budgets: testBudgets() }, new AbortController().signal);
    return "healthy";
  } catch (error) {
    expect(error).toBeInstanceOf(WorkloadCheckError);
    return error instanceof Error ? error.message : String(error);
  }
}

function http(port: number, headers: readonly (readonly [string, string])[] = [], path = "/"): WorkloadCheckMethod {
  return { kind: "http", scheme: "http", host: "127.0.0.1", port, path, headers };
}

test("V1 HTTP 200 is healthy; 500 and refused are not, with the reason; headers as configured; redirects are followed", async () => {
  await using app = await startFakeApp(
    routes({ "/": answer(200), "/bad": answer(500), "/moved": answer(302, "", { Location: "/bad" }) }),
  );
  expect(await check(http(app.port, [["Host", "vm.example"]]))).toBe("healthy");
  expect(app.requests[0]?.remoteAddress).toBe("127.0.0.6");
  expect(app.requests[0]?.rawHeaders).toEqual(expect.arrayContaining(["vm.example", "istio-probe/1.0"]));
  expect(await check(http(app.port, [], "/bad"))).toBe("status code 500");
  expect(await check(http(app.port, [], "/moved"))).toBe("status code 500");
  expect(await check(http(1))).toContain("ECONNREFUSED");
});

test("V1 headers are sent in UTF-8; a name that is none fails the check, and nothing is sent", async () => {
  await using app = await startFakeApp(answer(200));
  expect(await check(http(app.port, [["X-Text", "naïve Ċ"]]))).toBe("healthy");
  expect(app.requests[0]?.rawHeaders).toContain(Buffer.from("naïve Ċ").toString("latin1"));
  for (const name of ["", "X Y", "X: y\r\nZ", "Ċ"]) {
    expect(await check(http(app.port, [[name, "v"]]))).toBe(`${JSON.stringify(name)} is not the name of a header`);
  }
  expect(app.requests).toHaveLength(1);
});

test("V2 gRPC serving is healthy; every other answer is not, and none of them does harm to the agent", async () => {
  const statuses = { "": serving.serving, off: serving.notServing, odd: serving.unknown, gone: serving.serviceUnknown };
  await using app = await startFakeHealth({ statuses });
  const grpc = (service: string, port = app.port): WorkloadCheckMethod => ({
    kind: "grpc",
    host: "127.0.0.1",
    port,
    service,
  });
  expect(await check(grpc(""))).toBe("healthy");
  const reasons = { off: "NOT_SERVING", odd: "UNKNOWN", gone: "SERVICE_UNKNOWN", none: "NOT_FOUND" };
  for (const [service, reason] of Object.entries(reasons)) expect(await check(grpc(service))).toContain(reason);
  expect(await check(grpc("", 1))).toContain("ECONNREFUSED");
});

test("V3 TCP open and closed; a command that ends well, badly, not in time, or does not exist", async () => {
  await using app = await startFakeApp(answer(200));
  expect(await check({ kind: "tcp", host: "127.0.0.1", port: app.port })).toBe("healthy");
  expect(await check({ kind: "tcp", host: "127.0.0.1", port: 1 })).toContain("ECONNREFUSED");
  const exec = (...command: [string, ...string[]]): WorkloadCheckMethod => ({ kind: "exec", command });
  expect(await check(exec("true"))).toBe("healthy");
  expect(await check(exec("sh", "-c", "exit 3"))).toBe("exit status 3");
  expect(await check(exec("sleep", "30"), 100)).toBe("command timeout exceeded: signal: killed");
  expect(await check(exec("/nonexistent"))).toContain("ENOENT");
});

/** The processes whose command line has this text. */
function running(text: string): readonly string[] {
  return readdirSync("/proc").filter((pid) => {
    try {
      return /^\d+$/.test(pid) && readFileSync(`/proc/${pid}/cmdline`, "latin1").includes(text);
    } catch {
      return false;
    }
  });
}

test.each([
  ["is over its time", "sleep $1 & sleep $1", 200, "command timeout exceeded: signal: killed"],
  ["ends and leaves a process behind", "sleep $1 & exit 0", 5_000, "healthy"],
])("of a command that %s no process is left", async (_title, script, timeoutMs, outcome) => {
  const mark = `4321.${String(process.pid)}${String(timeoutMs)}`;
  expect(await check({ kind: "exec", command: ["sh", "-c", script, "probe", mark] }, timeoutMs)).toBe(outcome);
  await eventually(() => expect(running(mark)).toEqual([]), { withinMs: 2_000 });
});
