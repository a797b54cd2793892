// SPDX-License-Identifier: Apache-2.0
import { describe, expect, test } from "vitest";
import { drainAndStop, type StopOrder, type StopOutcome } from "../../../src/envoy/drain.ts";
import type { EnvoyExit } from "../../../src/envoy/envoy-exit.ts";
import type { OpenConnections } from "../../../src/envoy/open-connections.ts";
import { FakeClock } from "../../support/fake-clock.ts";
import { testLog } from "../../support/test-log.ts";

const config = {
  direction: "inbound",
  periodMs: 5_000,
  minimumMs: 1_000,
  killAfterMs: 400,
  uncountedPorts: [15021],
} as const;

/** An Envoy on paper: it ends on SIGTERM unless told not to, and has as many connections as the test says. */
function paperEnvoy(clock: FakeClock) {
  const calls: string[] = [];
  const { promise: exited, resolve } = Promise.withResolvers<EnvoyExit>();
  const state = { exit: undefined as EnvoyExit | undefined, ignoresTerm: false, open: (): number => 0, hangs: false };
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
    return Promise.resolve(end({ kind: "signal", signal: "SIGKILL", asked: true }));
  };
  const process: StopOrder["process"] = {
    exited,
    get exit() {
      return state.exit;
    },
    kill,
    async terminate(killAfterMs, force) {
      note("SIGTERM");
      if (!state.ignoresTerm) return end({ kind: "code", code: 0, asked: true });
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
    async openConnections(_uncounted, signal): Promise<readonly OpenConnections[]> {
      if (state.hangs) await hang(signal);
      const connections = state.open();
      return connections === 0 ? [] : [{ listener: "0.0.0.0_15006", connections }];
    },
  };
  return { calls, state, process, admin, end };
}

function stopIt(drain = true) {
  const clock = new FakeClock();
  const envoy = paperEnvoy(clock);
  const force = new AbortController();
  const { log, records } = testLog();
  const order: StopOrder = { process: envoy.process, admin: envoy.admin, config, drain, force: force.signal };
  let outcome: StopOutcome | undefined;
  const start = async (): Promise<void> => {
    outcome = await drainAndStop(order, { log, clock });
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
      exit: { kind: "code", code: 0, asked: true },
      report: { endedBy: "idle", durationMs: 1_000, open: [] },
    });
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
    expect(outcome()?.report).toEqual({ endedBy: "deadline", durationMs: 5_000, open });
    expect(records.find((record) => record.level === "warn")?.fields).toMatchObject({ connections: 2, open });
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
    expect(outcome()?.exit).toEqual({ kind: "signal", signal: "SIGKILL", asked: true });
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
    envoy.end({ kind: "signal", signal: "SIGSEGV", asked: false });
    await clock.advance(0);
    expect(outcome()).toMatchObject({
      exit: { kind: "signal", signal: "SIGSEGV", asked: false },
      report: { endedBy: "envoy-exited", durationMs: 1_500 },
    });
    expect(envoy.calls).toEqual(["0 drain inbound"]);
  });

  test("a pod that was never ready is ended without a drain", async () => {
    const { clock, envoy, start, outcome } = stopIt(false);
    void start();
    await clock.advance(0);
    expect(envoy.calls).toEqual(["0 SIGTERM"]);
    expect(outcome()?.report).toEqual({ endedBy: "not-drained", durationMs: 0, open: [] });
    expect(clock.pendingDelaysMs).toEqual([]);
  });
});
