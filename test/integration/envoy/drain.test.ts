// SPDX-License-Identifier: Apache-2.0
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";
import { describe, expect, test } from "vitest";
import { EnvoyAdminError, type EnvoyAdmin, exitCodeFor, startEnvoy } from "../../../src/envoy/index.ts";
import { createEnvoyAdmin, drainAndStop, readEnvoyReadiness } from "../../../src/envoy/running-envoy.ts";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { isRunning } from "../../support/process-state.ts";
import { staticEnvoy } from "../../support/static-envoy.ts";
import { startStopwatch } from "../../support/stopwatch.ts";
import { temporaryDirectory } from "../../support/temporary-directory.ts";
import { testLog } from "../../support/test-log.ts";

const never = new AbortController().signal;

async function openConnection(port: number): Promise<Socket> {
  const socket = connect(port, "127.0.0.1");
  socket.on("error", () => undefined);
  await once(socket, "connect");
  socket.write("GET / HTTP/1.1\r\nHost: a\r\n");
  return socket;
}

/** Runs a live Envoy, lets `meanwhile` hold connections, and stops it. */
async function stopLive(
  drain: Parameters<typeof staticEnvoy>[1],
  { hold = false, admin: replaced, force = never }: { hold?: boolean; admin?: EnvoyAdmin; force?: AbortSignal } = {},
) {
  await using directory = await temporaryDirectory();
  const fixture = await staticEnvoy(directory.path, drain);
  const deps = { log: testLog().log, clock: systemClock, random: Math.random };
  await using envoy = startEnvoy(fixture.config, deps);
  const admin = await fixture.untilLive();
  const held = hold ? await openConnection(await fixture.listenerPort()) : undefined;
  const startMs = performance.now();
  using watch = startStopwatch(() => [envoy.pid]);
  const order = { process: envoy, admin: replaced ?? admin, config: fixture.config.drain, drain: true, force };
  const outcome = await drainAndStop(order, deps);
  const [tookMs, ownMs] = [performance.now() - startMs, watch.ms()];
  held?.destroy();
  expect(isRunning(envoy.pid)).toBe(false);
  return { ...outcome, tookMs, ownMs };
}

describe("drain of a real Envoy", () => {
  test("with nothing open it ends within half a second after the minimum", async () => {
    const { exit, report, tookMs, ownMs } = await stopLive({ minimumMs: 700 });
    expect(report.endedBy).toBe("idle");
    expect(exitCodeFor(exit)).toBe(0);
    expect(tookMs).toBeGreaterThanOrEqual(695);
    expect(ownMs).toBeLessThan(1_200);
  });

  test("a stuck connection is waited for until the period is over, and reported by its listener", async () => {
    const { exit, report, tookMs, ownMs } = await stopLive({ periodMs: 1_500 }, { hold: true });
    expect(report.endedBy).toBe("deadline");
    expect(report.traffic?.open).toEqual([{ listener: "127.0.0.1_0", connections: 1 }]);
    expect(exit).toEqual({ kind: "code", code: 0, requested: true });
    expect(tookMs).toBeGreaterThanOrEqual(1_495);
    expect(ownMs).toBeLessThan(2_000);
  });

  test("an admin interface that accepts and never answers changes nothing about the end", async () => {
    await using silent = await listenSilently();
    const admin = createEnvoyAdmin({ host: "127.0.0.1", port: silent.port }, { clock: systemClock });
    const { report, tookMs, ownMs } = await stopLive({ periodMs: 1_500 }, { admin });
    expect(report.endedBy).toBe("deadline");
    expect(tookMs).toBeGreaterThanOrEqual(1_495);
    expect(ownMs).toBeLessThan(2_000);
  });

  test("a second signal ends it at once", async () => {
    const { report, exit, ownMs } = await stopLive({ minimumMs: 5_000 }, { force: AbortSignal.timeout(200) });
    expect(report.endedBy).toBe("forced");
    expect(exitCodeFor(exit)).toBe(0);
    expect(ownMs).toBeLessThan(700);
  });

  test("draining listeners go on to serve after Envoy's own drain time", async () => {
    await using directory = await temporaryDirectory();
    const fixture = await staticEnvoy(directory.path);
    await using envoy = startEnvoy(fixture.config, { log: testLog().log, clock: systemClock, random: Math.random });
    const admin = await fixture.untilLive();
    const port = await fixture.listenerPort();
    await admin.drainListeners({ direction: "inbound", openEnded: false });
    await systemClock.delay(1_300);
    const answer = await fetch(`http://127.0.0.1:${String(port)}/`);
    expect([answer.status, await answer.text()]).toEqual([200, "ok"]);
    expect(answer.headers.get("connection")).toBe("close");
    expect(envoy.exit).toBeUndefined();
  });
});

test("stopped at twenty moments of its start, Envoy is gone within a second and the exit code is 0", async () => {
  for (let moment = 0; moment < 20; moment++) {
    await using directory = await temporaryDirectory();
    const { config } = await staticEnvoy(directory.path);
    const deps = { log: testLog().log, clock: systemClock, random: Math.random };
    await using envoy = startEnvoy(config, deps);
    await systemClock.delay(moment * 5);
    const startMs = performance.now();
    const admin = createEnvoyAdmin(config.admin, deps);
    const { exit } = await drainAndStop(
      { process: envoy, admin, config: config.drain, drain: false, force: never },
      deps,
    );
    expect(performance.now() - startMs).toBeLessThan(1_000);
    expect([exitCodeFor(exit), isRunning(envoy.pid)]).toEqual([0, false]);
  }
});

describe("admin client", () => {
  test("C8 with the admin port closed a drain is an error, not a crash", async () => {
    const admin = createEnvoyAdmin({ host: "127.0.0.1", port: 1 }, { clock: systemClock });
    await expect(admin.drainListeners({ direction: "all", openEnded: false })).rejects.toMatchObject({
      code: "AGENT_ENVOY_ADMIN",
      failure: "unreachable",
    });
    await expect(readEnvoyReadiness(admin)).rejects.toBeInstanceOf(EnvoyAdminError);
  });

  test("a call ends at its time when nothing answers", async () => {
    await using silent = await listenSilently();
    const admin = createEnvoyAdmin({ host: "127.0.0.1", port: silent.port }, { clock: systemClock });
    const call = admin.request("GET", "/ready", { timeoutMs: 100 });
    await expect(call).rejects.toMatchObject({ failure: "timeout" });
  });

  test("an abort ends a call with the abort's reason", async () => {
    await using silent = await listenSilently();
    const admin = createEnvoyAdmin({ host: "127.0.0.1", port: silent.port }, { clock: systemClock });
    const reason = new Error("stop");
    const stop = new AbortController();
    const call = admin.request("GET", "/ready", {}, stop.signal);
    stop.abort(reason);
    await expect(call).rejects.toBe(reason);
  });

  test("readiness, version, refusals and oversized answers are told apart", async () => {
    await using directory = await temporaryDirectory();
    const fixture = await staticEnvoy(directory.path);
    await using envoy = startEnvoy(fixture.config, { log: testLog().log, clock: systemClock, random: Math.random });
    const admin = await envoy.orExited(fixture.untilLive());
    expect(await readEnvoyReadiness(admin)).toEqual({
      cdsUpdates: 0,
      cdsRejected: 0,
      ldsUpdates: 0,
      ldsRejected: 0,
      cdsFailed: 0,
      ldsFailed: 0,
      state: "LIVE",
      workersStarted: true,
    });
    expect((await admin.serverInfo()).version).toMatch(/^1\.\d+\.\d+/);
    expect(await admin.certs()).toEqual([]);
    await expect(admin.request("GET", "/no-such-page")).rejects.toMatchObject({ failure: "status", status: 404 });
    await expect(admin.request("GET", "/stats", { maxBytes: 100 })).rejects.toMatchObject({ failure: "too-large" });
  });
});

/** A port that accepts connections and never says a word. */
async function listenSilently(): Promise<{ readonly port: number } & AsyncDisposable> {
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
