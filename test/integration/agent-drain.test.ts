// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { describe, expect, test } from "vitest";
import { systemClock } from "../../src/lib/async/clock.ts";
import { startFakeCa } from "../fakes/fake-ca.ts";
import { eventually } from "../support/eventually.ts";
import { writePlainListeners } from "../support/plain-listeners.ts";
import { type Pod, type PodOptions, startPod } from "../support/pod.ts";
import { startStopwatch } from "../support/stopwatch.ts";

/** A connection with a request that is not sent completely: both ways of counting see it. */
async function holdConnection({ ports }: Pod): Promise<Socket> {
  const socket = connect(ports.inbound, "127.0.0.1");
  socket.on("error", () => undefined);
  await once(socket, "connect");
  socket.write("GET / HTTP/1.1\r\nHost: a\r\n");
  return socket;
}

/** A listener that plain clients can use. */
const prepare: PodOptions["prepare"] = ({ directory, ports }) => {
  writePlainListeners(directory, { http: ports.inbound });
};

/** Sends SIGTERM to a ready pod and waits for its end. The time is the machine's, and that without its other work. */
async function endPod(pod: Pod): Promise<{ tookMs: number; ownMs: number; draining: string }> {
  const startMs = performance.now();
  using watch = startStopwatch(() => [pod.pid, ...pod.envoyPids()]);
  pod.kill("SIGTERM");
  expect(await pod.exited).toEqual({ code: 0, signal: null });
  const [tookMs, ownMs] = [performance.now() - startMs, watch.ms()];
  expect(pod.envoyPids()).toEqual([]);
  const lines = pod.log().split("\n");
  return { tookMs, ownMs, draining: lines.findLast((line) => line.includes("drain finished")) ?? "" };
}

/** Ways to set a deadline; only the second of them makes Envoy keep statistics of connections. */
const settings: readonly {
  readonly name: string;
  readonly deadlineMs: number;
  readonly options: Partial<PodOptions>;
}[] = [
  {
    name: "terminationDrainDuration alone",
    deadlineMs: 3_000,
    options: {
      env: { EXIT_ON_ZERO_ACTIVE_CONNECTIONS: "false", MINIMUM_DRAIN_DURATION: "500ms" },
      proxyConfig: { terminationDrainDuration: "3s" },
    },
  },
  {
    name: "the pod's grace period, and an end at zero connections",
    deadlineMs: 2_700,
    options: {
      env: {
        EXIT_ON_ZERO_ACTIVE_CONNECTIONS: "true",
        MINIMUM_DRAIN_DURATION: "500ms",
        ATTACHE_TERMINATION_GRACE: "4",
      },
    },
  },
];

describe.each(settings)("with $name", ({ deadlineMs, options }) => {
  test("a pod without connections is gone half a second after the minimum", async () => {
    await using ca = await startFakeCa();
    await using pod = await startPod({ ca, prepare, ...options });
    await pod.untilReady();
    const { tookMs, ownMs } = await endPod(pod);
    expect(tookMs).toBeGreaterThanOrEqual(500);
    expect(ownMs).toBeLessThan(1_000);
  });

  test("a connection that ends in time ends the drain", async () => {
    await using ca = await startFakeCa();
    await using pod = await startPod({ ca, prepare, ...options });
    await pod.untilReady();
    const socket = await holdConnection(pod);
    const end = endPod(pod);
    await eventually(() => expect(pod.log()).toContain("draining Envoy"), { withinMs: 1_000 });
    await systemClock.delay(1_200);
    socket.destroy();
    const { tookMs, ownMs, draining } = await end;
    expect(tookMs).toBeGreaterThanOrEqual(1_200);
    expect(ownMs).toBeLessThan(2_000);
    expect(draining).toContain("endedBy=idle");
  });

  test("a stuck connection is waited for to the deadline, and named", async () => {
    await using ca = await startFakeCa();
    await using pod = await startPod({ ca, prepare, ...options });
    await pod.untilReady();
    const socket = await holdConnection(pod);
    const { tookMs, ownMs, draining } = await endPod(pod);
    socket.destroy();
    expect(tookMs).toBeGreaterThanOrEqual(deadlineMs - 500);
    expect(ownMs).toBeLessThanOrEqual(deadlineMs + 500);
    expect(draining).toMatch(
      /open connections\tendedBy=deadline .*connections=1 open=\[\{"listener":"[^"]+","connections":1\}\]/,
    );
  });

  test("an Envoy that is frozen, its admin interface accepting and silent, changes nothing about the deadline", async () => {
    await using ca = await startFakeCa();
    await using pod = await startPod({ ca, prepare, ...options });
    await pod.untilReady();
    for (const pid of pod.envoyPids()) process.kill(pid, "SIGSTOP");
    const { tookMs, ownMs } = await endPod(pod);
    expect(tookMs).toBeGreaterThanOrEqual(deadlineMs - 500);
    expect(ownMs).toBeLessThanOrEqual(deadlineMs + 500);
  });
});
