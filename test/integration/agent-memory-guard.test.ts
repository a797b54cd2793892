// SPDX-License-Identifier: Apache-2.0
import { spawn } from "node:child_process";
import { once } from "node:events";
import { connect } from "node:net";
import { networkInterfaces } from "node:os";
import { afterAll, expect, test } from "vitest";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { eventually } from "../support/eventually.ts";
import { makeMemoryGroup } from "../support/control-group.ts";
import { startPod } from "../support/pod.ts";

const limitBytes = 128 * 2 ** 20;
const limit = makeMemoryGroup(limitBytes);
afterAll(() => {
  limit?.[Symbol.dispose]();
});
const outsideAddress = Object.values(networkInterfaces())
  .flat()
  .find((address) => address?.family === "IPv4" && !address.internal)?.address;

/** The status of the response, 0 where the connection was closed without one, and its text. */
function get(
  host: string,
  port: number,
  path = "/healthz/ready",
): Promise<{ readonly status: number; readonly text: string }> {
  return new Promise((resolve) => {
    let text = "";
    const socket = connect({ host, port }).setEncoding("latin1");
    socket.on("data", (part: string) => (text += part)).on("error", () => undefined);
    socket.on("close", () => {
      resolve({ status: Number(/^HTTP\/1.1 (\d+)/.exec(text)?.[1] ?? 0), text });
    });
    socket.write(`GET ${path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n`);
  });
}

test.runIf(limit !== undefined && outsideAddress !== undefined)(
  "while another process takes the container's memory, other machines are rejected, the kubelet's probes are not",
  { timeout: 60_000 },
  async () => {
    await using ca = await startFakeCa();
    await using pod = await startPod({ ca, launcher: limit?.launcher ?? [] });
    await pod.untilReady();
    const { status: port } = pod.ports;
    const outside = outsideAddress ?? "";
    expect((await get(outside, port)).status).toBe(200);
    // five sixths of the limit are 107 MiB; agent and Envoy have some 42, this process 75
    const script = "const held = Buffer.alloc(62 * 2 ** 20, 1); console.log('held'); setInterval(() => held, 1e6);";
    const hungry = spawn("sh", [...(limit?.launcher.slice(1) ?? []), process.execPath, "-e", script], {
      stdio: ["ignore", "pipe", "inherit"],
    });
    try {
      await once(hungry.stdout, "data");
      await eventually(async () => expect((await get(outside, port, "/metrics")).status).toBe(503), {
        withinMs: 5_000,
      });
      for (const host of ["127.0.0.1", outside]) {
        for (let time = 0; time < 5; time++) expect((await get(host, port)).status).toBe(200);
      }
      expect(pod.log()).toMatch(/budget is spent\tbudget=container-memory-bytes/);
    } finally {
      hungry.kill("SIGKILL");
      await once(hungry, "exit");
    }
    await eventually(async () => expect((await get(outside, port, "/metrics")).status).toBe(200), { withinMs: 5_000 });
  },
);
