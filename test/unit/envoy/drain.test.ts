// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { drainAndStop, type StopOrder, type StopOutcome } from "../../../src/envoy/drain.ts";
import type { EnvoyExit } from "../../../src/envoy/envoy-exit.ts";
import type { EnvoyTraffic, RequestCounts } from "../../../src/envoy/admin-responses.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { testLog } from "../../support/test-log.ts";

const config = {
  direction: "inbound",
  periodMs: 5_000,
  minimumMs: 1_000,
  jitterMs: 0,
  killAfterMs: 400,
  endsUncounted: false,
  countsSockets: true,
  uncountedPorts: [15021],
} as const;

/** An Envoy on paper: it ends on SIGTERM unless told not to, and has as many connections as the test says. */
function paperEnvoy(clock: FakeClock) {
  const calls: string[] = [];
  const { promise: exited, resolve } = Promise.withResolvers<EnvoyExit>();
  const state = {
    exit: undefined as EnvoyExit | undefined,
    ignoresTerm: false,
    open: (): number | undefined => 0,
    requests: (): RequestCounts | undefined => undefined,
    hangs: false,
  };
  const note = (call: string): void => {
    calls.push(`${String(clock.monotonicMs())} ${call}`);
  };
  const end = (exit: EnvoyExit): EnvoyExit => {
    state.exit ??= exit;
    resolve(state.exit);
    return state.exit;
  };
  const kill = (): Promise<EnvoyExit> => {
    note("SIGKILL");
    return Promise.resolve(end({ kind: "signal", signal: "SIGKILL", requested: true }));
  };
  const process: StopOrder["process"] = {
    exited,
    get exit() {
      return state.exit;
    },
    kill,
    async terminate(killAfterMs, force) {
      note("SIGTERM");
      if (!state.ignoresTerm) return end({ kind: "code", code: 0, requested: true });
      await clock.delay(killAfterMs, force).catch(() => undefined);
      return await kill();
    },
  };
  const hang = (signal?: AbortSignal) => clock.delay(1_000, signal).then(() => Promise.reject(new Error("no answer")));
  const admin: StopOrder["admin"] = {
    async drainListeners({ direction }, signal) {
      note(`drain ${direction}`);
      if (state.hangs) await hang(signal);
    },
    async traffic(_uncounted, signal): Promise<EnvoyTraffic | undefined> {
      if (state.hangs) await hang(signal);
      const connections = state.open();
      if (connections === undefined) return undefined;
      const open = connections === 0 ? [] : [{ listener: "0.0.0.0_15006", connections }];
      return { open, requests: state.requests() };
    },
  };
  return { calls, state, process, admin, end };
}

function stopIt(drain = true, changes: Partial<StopOrder["config"]> = {}, more: Partial<StopOrder> = {}) {
  const clock = new FakeClock();
  const envoy = paperEnvoy(clock);
  const force = new AbortController();
  const { log, records } = testLog();
  const { process, admin } = envoy;
  const order: StopOrder = { process, admin, config: { ...config, ...changes }, drain, force: force.signal, ...more };
  let outcome: StopOutcome | undefined;
  const start = async (): Promise<void> => {
    outcome = await drainAndStop(order, { log, clock, random: () => 0.5 });
  };
  return { clock, envoy, force, records, start, outcome: () => outcome };
}

describe("drain", () => {
  test("with nothing open Envoy is ended right after the minimum", async () => {
    const { clock, envoy, start, outcome } = stopIt();
    void start();
    await clock.advance(999);
    expect(envoy.calls).toEqual(["0 drain inbound"]);
    await clock.advance(1);
    expect(envoy.calls).toEqual(["0 drain inbound", "1000 SIGTERM"]);
    expect(outcome()).toEqual({
      exit: { kind: "code", code: 0, requested: true },
      report: { endedBy: "idle", durationMs: 1_000, traffic: { open: [], requests: undefined } },
    });
  });

  test.each([
    ["back", -86_400_000],
    ["forward", 86_400_000],
  ])("a wall clock that is set %s by a day neither shortens nor lengthens it", async (_, stepMs) => {
    const { clock, envoy, start, outcome } = stopIt();
    envoy.state.open = () => 2;
    void start();
    await clock.advance(500);
    clock.jump(stepMs);
    await clock.advance(4_499);
    expect(envoy.calls).toEqual(["0 drain inbound"]);
    await clock.advance(1);
    expect(envoy.calls.at(-1)).toBe("5000 SIGTERM");
    expect(outcome()?.report.durationMs).toBe(5_000);
  });

  test("the last connection's end ends it within half a second", async () => {
    const { clock, envoy, start, outcome } = stopIt();
    envoy.state.open = () => (clock.monotonicMs() < 2_500 ? 3 : 0);
    void start();
    await clock.advance(3_000);
    expect(outcome()?.report.endedBy).toBe("idle");
    expect(outcome()?.report.durationMs).toBeLessThanOrEqual(3_000);
  });

  test("a connection that stays is named in the report at the end of the period", async () => {
    const { clock, envoy, start, outcome, records } = stopIt();
    envoy.state.open = () => 2;
    void start();
    await clock.advance(4_999);
    expect(envoy.calls).toEqual(["0 drain inbound"]);
    await clock.advance(1);
    expect(envoy.calls.at(-1)).toBe("5000 SIGTERM");
    const open = [{ listener: "0.0.0.0_15006", connections: 2 }];
    expect(outcome()?.report).toEqual({
      endedBy: "deadline",
      durationMs: 5_000,
      traffic: { open, requests: undefined },
    });
    expect(records.find((record) => record.level === "warn")?.fields).toMatchObject({ connections: 2, open });
  });

  test("what was open is reported also when the minimum is as long as the period", async () => {
    const { clock, envoy, start, outcome } = stopIt(true, { minimumMs: 5_000 });
    envoy.state.open = () => 2;
    void start();
    await clock.advance(5_000);
    const open = [{ listener: "0.0.0.0_15006", connections: 2 }];
    expect(outcome()?.report).toEqual({
      endedBy: "deadline",
      durationMs: 5_000,
      traffic: { open, requests: undefined },
    });
  });

  describe("B15: connections without a request", () => {
    /** @param requests by the time in milliseconds */
    function idleConnections(requests: (atMs: number) => Partial<RequestCounts>) {
      const stop = stopIt();
      stop.envoy.state.open = () => 3;
      stop.envoy.state.requests = () => ({
        active: 0,
        total: 7,
        otherConnections: 0,
        ...requests(stop.clock.monotonicMs()),
      });
      void stop.start();
      return stop;
    }

    test("do not hold the drain, and the log says how many there were", async () => {
      const { clock, envoy, outcome, records } = idleConnections(() => ({}));
      await clock.advance(999);
      expect(envoy.calls).toEqual(["0 drain inbound"]);
      await clock.advance(1);
      expect(outcome()?.report).toMatchObject({ endedBy: "idle", durationMs: 1_000 });
      expect(records.find(({ message }) => message === "drain finished")?.fields).toMatchObject({ idleConnections: 3 });
      expect(records.filter(({ level }) => level === "warn")).toEqual([]);
    });

    test.each([
      ["a request in flight", { active: 1 }],
      ["a connection of another protocol", { otherConnections: 1 }],
    ])("%s holds the drain until it ends", async (_name, requests) => {
      const { clock, envoy, outcome } = idleConnections((atMs) => (atMs < 2_500 ? requests : {}));
      await clock.advance(2_500);
      expect(envoy.calls).toEqual(["0 drain inbound"]);
      await clock.advance(900);
      expect(outcome()?.report).toMatchObject({ endedBy: "idle" });
    });

    test("a request that came between two checks holds it: a busy client has none in flight at most moments", async () => {
      const { clock, envoy, outcome } = idleConnections((atMs) => ({ total: Math.min(atMs, 2_500) }));
      await clock.advance(2_500);
      expect(envoy.calls).toEqual(["0 drain inbound"]);
      await clock.advance(900);
      expect(outcome()?.report).toMatchObject({ endedBy: "idle" });
    });

    test("hold it where Envoy has no stats of requests", async () => {
      const { clock, envoy, start, outcome } = stopIt();
      envoy.state.open = () => 3;
      void start();
      await clock.advance(5_000);
      expect(outcome()?.report.endedBy).toBe("deadline");
    });

    test("a request that stays is counted in the warning at the end of the period", async () => {
      const { clock, records } = idleConnections(() => ({ active: 2 }));
      await clock.advance(5_000);
      expect(records.find(({ level }) => level === "warn")?.fields).toMatchObject({ requests: 2, connections: 3 });
    });
  });

  test("an Envoy without statistics of connections is waited for to the end of the period, unless there is none", async () => {
    const { clock, envoy, start, outcome, records } = stopIt();
    envoy.state.open = () => undefined;
    void start();
    await clock.advance(5_000);
    expect(outcome()?.report).toEqual({ endedBy: "deadline", durationMs: 5_000, traffic: undefined });
    expect(records.filter(({ level }) => level === "warn")).toHaveLength(1);

    const endless = stopIt(true, { periodMs: 3_600_000, endsUncounted: true });
    endless.envoy.state.open = () => undefined;
    void endless.start();
    await endless.clock.advance(1_000);
    expect(endless.outcome()?.report).toMatchObject({ endedBy: "idle", durationMs: 1_000 });
  });

  test("the machine's sockets are counted where Envoy has no statistics of them", async () => {
    let connections = 1;
    const countSockets = () => Promise.resolve(connections === 0 ? [] : [{ listener: "virtualInbound", connections }]);
    const { clock, envoy, start, outcome } = stopIt(true, {}, { countSockets });
    envoy.state.open = () => undefined;
    void start();
    await clock.advance(2_000);
    expect(envoy.calls).toEqual(["0 drain inbound"]);
    connections = 0;
    await clock.advance(200);
    expect(outcome()?.report.endedBy).toBe("idle");
  });

  test("with a jitter clients are asked to leave later, and the end comes when it would without", async () => {
    const { clock, envoy, start } = stopIt(true, { jitterMs: 1_200 });
    envoy.state.open = () => (clock.monotonicMs() < 2_500 ? 3 : 0);
    void start();
    await clock.advance(3_000);
    expect(envoy.calls).toEqual(["600 drain inbound", "2500 SIGTERM"]);

    const idle = stopIt(true, { jitterMs: 4_000 });
    void idle.start();
    await idle.clock.advance(1_000);
    expect(idle.envoy.calls).toEqual(["1000 SIGTERM"]);
    expect(idle.clock.pendingDelaysMs).toEqual([]);
  });

  test("an admin interface that hangs neither shortens nor lengthens the period, and is warned about once", async () => {
    const { clock, envoy, start, outcome, records } = stopIt();
    envoy.state.hangs = true;
    void start();
    await clock.advance(5_000);
    expect(envoy.calls).toEqual(["0 drain inbound", "5000 SIGTERM"]);
    expect(outcome()?.report.endedBy).toBe("deadline");
    expect(records.filter((record) => record.level === "warn")).toHaveLength(2);
  });

  test("an Envoy that ignores SIGTERM is killed, and the end still counts as asked for", async () => {
    const { clock, envoy, start, outcome } = stopIt();
    envoy.state.ignoresTerm = true;
    void start();
    await clock.advance(1_400);
    expect(envoy.calls).toEqual(["0 drain inbound", "1000 SIGTERM", "1400 SIGKILL"]);
    expect(outcome()?.exit).toEqual({ kind: "signal", signal: "SIGKILL", requested: true });
  });

  test("a second signal that came before the drain kills at once too", async () => {
    const { clock, envoy, force, start, outcome } = stopIt();
    force.abort();
    void start();
    await clock.advance(0);
    expect(envoy.calls).toContain("0 SIGKILL");
    expect(outcome()?.report.endedBy).toBe("forced");
  });

  test("a second signal kills at once, in the minimum and after SIGTERM", async () => {
    const first = stopIt();
    void first.start();
    await first.clock.advance(300);
    first.force.abort();
    await first.clock.advance(0);
    expect(first.envoy.calls).toEqual(["0 drain inbound", "300 SIGKILL"]);
    expect(first.outcome()?.report.endedBy).toBe("forced");

    const second = stopIt();
    second.envoy.state.ignoresTerm = true;
    void second.start();
    await second.clock.advance(1_100);
    second.force.abort();
    await second.clock.advance(0);
    expect(second.envoy.calls.at(-1)).toBe("1100 SIGKILL");
  });

  test("an Envoy that ends by itself ends the wait", async () => {
    const { clock, envoy, start, outcome } = stopIt();
    envoy.state.open = () => 1;
    void start();
    await clock.advance(1_500);
    envoy.end({ kind: "signal", signal: "SIGSEGV", requested: false });
    await clock.advance(0);
    expect(outcome()).toMatchObject({
      exit: { kind: "signal", signal: "SIGSEGV", requested: false },
      report: { endedBy: "envoy-exited", durationMs: 1_500 },
    });
    expect(envoy.calls).toEqual(["0 drain inbound"]);
  });

  test("a pod that was never ready is ended without a drain", async () => {
    const { clock, envoy, start, outcome } = stopIt(false);
    void start();
    await clock.advance(0);
    expect(envoy.calls).toEqual(["0 SIGTERM"]);
    expect(outcome()?.report).toEqual({
      endedBy: "not-drained",
      durationMs: 0,
      traffic: { open: [], requests: undefined },
    });
    expect(clock.pendingDelaysMs).toEqual([]);
  });
});
