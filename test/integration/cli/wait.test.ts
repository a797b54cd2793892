// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { chmod, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { startFakeCa } from "../../fakes/fake-ca.ts";
import { eventually } from "../../support/eventually.ts";
import { freePorts } from "../../support/free-ports.ts";
import { type Pod, type PodOptions, startPod } from "../../support/pod.ts";
import { watchProcessors } from "../../support/processor-waits.ts";
import { type RunningProgram, startProgram } from "../../support/program.ts";

/** Beside the pod's agent: with its configuration, and Envoy's readiness as the address. */
function startWait({ ports }: Pick<Pod, "ports">, ...args: readonly string[]): RunningProgram {
  const url = `http://127.0.0.1:${String(ports.readiness)}/healthz/ready`;
  return startProgram(["wait", "--url", url, ...args], { PROXY_CONFIG: JSON.stringify({ statusPort: ports.status }) });
}

const timeOf = (text: string, line: RegExp): number => {
  const found = text.split("\n").find((each) => line.test(each));
  return Date.parse(found?.split("\t")[0] ?? "");
};

test("wait begun before the agent returns within 20 ms of the pod's readiness", async () => {
  await using ca = await startFakeCa();
  const lateMs: number[] = [];
  for (let start = 0; start < 7; start++) {
    let wait: RunningProgram | undefined;
    await using pod = await startPod({
      ca,
      prepare: ({ ports }) => {
        wait = startWait({ ports });
      },
    });
    const pids = (): readonly number[] => [wait?.pid ?? 0, pod.pid, ...pod.envoyPids()];
    using processors = watchProcessors(pids);
    const exit = await wait?.exited;
    expect(exit).toMatchObject({ code: 0, signal: null });
    const [readyMs, saidMs] = [timeOf(pod.log(), /Envoy proxy is ready/), timeOf(exit?.stdout ?? "", /Envoy is ready/)];
    lateMs.push(saidMs - readyMs - processors.waitedMs(readyMs, saidMs));
  }
  // what the machine does besides only adds to it; a poll would show in most
  const [, , third = Number.NaN] = lateMs.toSorted((a, b) => a - b);
  expect(third).toBeLessThanOrEqual(20);
});

const badListener = {
  "@type": "type.googleapis.com/envoy.config.listener.v3.Listener",
  name: "bad",
  address: { socket_address: { address: "no address", port_value: 1 } },
};

/** Four things that may be missing at a start, each with the code that tells it from the others. */
const faults: readonly { readonly code: string; readonly detail: RegExp; readonly options: Partial<PodOptions> }[] = [
  {
    code: "certificate",
    detail: /CA|connect|refused/,
    options: { env: { CA_ADDR: "localhost:1" } },
  },
  {
    code: "control-plane",
    detail: /no update was received/,
    options: { env: { ATTACHE_XDS_FILES: "" }, proxyConfig: { discoveryAddress: "localhost:1" } },
  },
  {
    code: "configuration-refused",
    detail: /every update was rejected \(0 accepted, [1-9]\d* rejected\)/,
    options: {
      prepare: ({ directory }) =>
        writeFile(join(directory, "resources/lds.yaml"), JSON.stringify({ resources: [badListener] })),
    },
  },
  {
    code: "envoy-start",
    detail: /admin interface/,
    options: {
      proxyConfig: { binaryPath: "./program" },
      prepare: async ({ directory }) => {
        await writeFile(join(directory, "program"), "#!/bin/sh\nexec sleep 60\n");
        await chmod(join(directory, "program"), 0o755);
      },
    },
  },
];

test.each(faults)("a wait that runs out names $code as what is missing, and ends with 1", async (fault) => {
  await using ca = await startFakeCa();
  await using pod = await startPod({ ca, ...fault.options });
  await using wait = startWait(pod, "--timeoutSeconds", "2");
  const { code, stderr } = await wait.exited;
  expect(code).toBe(1);
  const [, missing = "", detail = ""] = /become ready: missing ([a-z-]+) \(([^)]*\)?)/.exec(stderr) ?? [];
  expect(missing, stderr).toBe(fault.code);
  expect(detail).toMatch(fault.detail);
});

test("an agent that ends says so to who waits for it, at once", async () => {
  await using ca = await startFakeCa();
  const env = { EXIT_ON_ZERO_ACTIVE_CONNECTIONS: "false", MINIMUM_DRAIN_DURATION: "5s" };
  await using pod = await startPod({ ca, env, proxyConfig: { terminationDrainDuration: "5s" } });
  await pod.untilReady();
  pod.kill("SIGTERM");
  await eventually(async () => expect((await pod.readiness()).status).toBe(503), { withinMs: 2_000 });
  const startMs = performance.now();
  const answer = await fetch(`http://127.0.0.1:${String(pod.ports.status)}/healthz/ready`, {
    headers: { accept: "application/json", prefer: "wait=60" },
  });
  expect(performance.now() - startMs).toBeLessThan(500);
  const { ready, checks } = (await answer.json()) as { ready: boolean; checks: readonly { name: string }[] };
  expect([ready, checks.map(({ name }) => name)]).toEqual([false, expect.arrayContaining(["termination"])]);
});

describe("without an agent", () => {
  test("a wait that is told to end says that it was, and ends with 1 at once", async () => {
    const [port = 0] = await freePorts(1);
    await using wait = startProgram(["wait"], { PROXY_CONFIG: `statusPort: ${String(port)}` });
    await eventually(() => expect(wait.output().stdout).toContain("Waiting"), { withinMs: 5_000 });
    wait.kill("SIGTERM");
    expect(await wait.exited).toMatchObject({ code: 1, stderr: expect.stringMatching(/stopped while/) as string });
  });

  test("a wait for the usual address ends with 1", async () => {
    const [port = 0] = await freePorts(1);
    const env = { PROXY_CONFIG: `statusPort: ${String(port)}` };
    await using wait = startProgram(["wait", "--timeoutSeconds", "1", "--log_as_json"], env);
    const { code, stdout, stderr } = await wait.exited;
    expect(code).toBe(1);
    expect(JSON.parse(stdout)).toMatchObject({ level: "info", msg: expect.stringMatching(/^Waiting/) as string });
    const url = `http://localhost:${String(port)}/healthz/ready`;
    expect(stderr).toContain(
      `missing agent (no agent responded at ${url}: it has not started, or has exited; see its log`,
    );
  });

  test("a wait for another program's address ends with 255", async () => {
    await using server = createServer((_request, response) => response.writeHead(204).end()).listen(0, "127.0.0.1");
    await once(server, "listening");
    const [statusPort = 0] = await freePorts(1);
    const { port } = server.address() as AddressInfo;
    const words = ["wait", "--timeoutSeconds", "1", "--url", `http://127.0.0.1:${String(port)}/ready`];
    await using wait = startProgram(words, { PROXY_CONFIG: JSON.stringify({ statusPort }) });
    const { code, stderr } = await wait.exited;
    expect(code).toBe(255);
    expect(stderr).toContain("HTTP status code 204");
  });
});
