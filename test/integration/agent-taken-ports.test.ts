// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { createServer } from "node:net";
import { expect, test } from "vitest";
import { systemClock } from "../../src/lib/async/clock.ts";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { freePorts } from "../support/free-ports.ts";
import { startPod } from "../support/pod.ts";

test("B17: ports of another agent's Envoy end the start, and one line names all of them", async () => {
  await using ca = await startFakeCa();
  await using first = await startPod({ ca });
  await first.untilReady();
  const { readiness, metrics, status } = first.ports;
  await using second = await startPod({
    ca,
    env: { ENVOY_STATUS_PORT: String(readiness), ENVOY_PROMETHEUS_PORT: String(metrics) },
    proxyConfig: { statusPort: status },
  });
  expect(await second.exited).toEqual({ code: 69, signal: null });
  expect(second.envoyPids()).toEqual([]);
  const [line = "", ...others] = second.log().match(/listen on ports that other processes listen on: .*/g) ?? [];
  expect(others).toEqual([]);
  for (const port of [readiness, metrics])
    expect(line).toMatch(new RegExp(`\\b${String(port)} \\(envoy.* \\(process \\d+\\)\\)`));
  expect(line).toContain(`${String(status)} (`);
  expect(line).toMatch(/or set (?=.*ENVOY_STATUS_PORT)(?=.*ENVOY_PROMETHEUS_PORT)(?=.*statusPort).* to free ports/);
  expect(line).toContain("errorCode=AGENT_PORTS_TAKEN");
  expect((await first.readiness()).status).toBe(200);
});

test("B17: a port that its previous process still closes is waited for", async () => {
  await using ca = await startFakeCa();
  const [port = 0] = await freePorts(1);
  const previous = createServer().listen({ port, host: "0.0.0.0", reusePort: true });
  await once(previous, "listening");
  await using pod = await startPod({ ca, env: { ENVOY_STATUS_PORT: String(port) } });
  await systemClock.delay(400);
  previous.close();
  await pod.untilReady();
});

test("B17: a process at another address of loopback is no conflict for a listener on loopback", async () => {
  await using ca = await startFakeCa();
  const [port = 0] = await freePorts(1);
  const other = createServer().listen(port, "127.0.0.9");
  await once(other, "listening");
  await using pod = await startPod({
    ca,
    env: { ENVOY_PROMETHEUS_PORT: String(port), METRICS_LOCALHOST_ACCESS_ONLY: "true" },
  });
  await pod.untilReady();
  other.close();
});
