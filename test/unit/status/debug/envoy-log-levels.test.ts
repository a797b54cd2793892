// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import type { EnvoyLogControl } from "../../../../src/status/index.ts";
import { EnvoyLogLevels } from "../../../../src/status/debug/envoy-log-levels.ts";
import { testBudgets } from "../../../support/budgets.ts";
import { FakeClock } from "../../../support/fake-clock.ts";

const minuteMs = 60_000;

/** Envoy's loggers, which may not respond, and which begin anew with another process. */
class Loggers implements EnvoyLogControl {
  levels = new Map([
    ["http", "warning"],
    ["pool", "info"],
    ["upstream", "warning"],
  ]);
  pid = 1;
  responds = true;
  losesResponses = false;

  read(): Promise<ReadonlyMap<string, string>> {
    return this.responds ? Promise.resolve(new Map(this.levels)) : Promise.reject(new Error("no response"));
  }

  set(levels: ReadonlyMap<string, string>): Promise<void> {
    if (!this.responds) return Promise.reject(new Error("no response"));
    for (const [name, level] of levels) this.levels.set(name, level);
    return this.losesResponses ? Promise.reject(new Error("the response was lost")) : Promise.resolve();
  }

  process(): number {
    return this.pid;
  }
}

function setup(size = 1_024) {
  const envoy = new Loggers();
  const clock = new FakeClock();
  const budgets = testBudgets({ "envoy-log-level-overrides": size });
  const budget = budgets.of("envoy-log-level-overrides");
  return { envoy, clock, budget, levels: new EnvoyLogLevels(envoy, budget, clock) };
}

const http = (level: string | undefined) => [{ logger: "http", level }];
const every = (level: string) => [{ logger: undefined, level }];

test("a logger gets back the level that it had, when its time is over", async () => {
  const { envoy, clock, budget, levels } = setup();
  expect(await levels.change(http("trace"), minuteMs)).toEqual({ kind: "done" });
  expect([envoy.levels.get("http"), budget.used, [...levels.changed()]]).toEqual(["trace", 1, [["http", "trace"]]]);
  expect((await levels.list())[0]).toMatchObject({ name: "http", override: { original: "warning" } });
  await clock.advance(minuteMs - 1);
  expect(envoy.levels.get("http")).toBe("trace");
  await clock.advance(1);
  expect([envoy.levels.get("http"), budget.used, levels.changed().size]).toEqual(["warning", 0, 0]);
});

test("an Envoy that is started during a change gets its levels back too", async () => {
  const { envoy, clock, budget, levels } = setup();
  const read = envoy.read.bind(envoy);
  envoy.read = () => {
    envoy.pid = 2;
    return read();
  };
  await levels.change(http("trace"), minuteMs);
  expect([envoy.levels.get("http"), [...levels.changed()]]).toEqual(["trace", [["http", "trace"]]]);
  await clock.advance(minuteMs);
  expect([envoy.levels.get("http"), budget.used]).toEqual(["warning", 0]);
});

test("a later change of one logger keeps the first level, and its own time", async () => {
  const { envoy, clock, levels } = setup();
  await levels.change(every("debug"), minuteMs);
  await levels.change(http("trace"), 3 * minuteMs);
  await clock.advance(minuteMs);
  expect(Object.fromEntries(envoy.levels)).toEqual({ http: "trace", pool: "info", upstream: "warning" });
  await clock.advance(2 * minuteMs);
  expect(envoy.levels.get("http")).toBe("warning");
});

test("a change until a restart stays, and a reset undoes it", async () => {
  const { envoy, clock, budget, levels } = setup();
  await levels.change(http("debug"), undefined);
  await clock.advance(24 * 60 * minuteMs);
  expect(envoy.levels.get("http")).toBe("debug");
  await levels.change(http(undefined), undefined);
  expect([envoy.levels.get("http"), budget.used]).toEqual(["warning", 0]);
});

test("an Envoy that was restarted keeps the levels of its start", async () => {
  const { envoy, clock, budget, levels } = setup();
  await levels.change(every("debug"), minuteMs);
  envoy.pid = 2;
  for (const name of envoy.levels.keys()) envoy.levels.set(name, "error");
  expect([levels.changed().size, budget.used]).toEqual([0, 0]);
  await clock.advance(minuteMs);
  expect(new Set(envoy.levels.values())).toEqual(new Set(["error"]));
});

test("an Envoy that does not respond when the time is over is asked again", async () => {
  const { envoy, clock, levels } = setup();
  await levels.change(http("debug"), minuteMs);
  envoy.responds = false;
  await clock.advance(minuteMs);
  expect([...levels.changed().keys()]).toEqual(["http"]);
  envoy.responds = true;
  await clock.advance(5_000);
  expect([envoy.levels.get("http"), levels.changed().size]).toEqual(["warning", 0]);
});

test("a change that failed half-way is undone in time all the same", async () => {
  const { envoy, clock, levels } = setup();
  envoy.losesResponses = true;
  await expect(levels.change(http("debug"), minuteMs)).rejects.toThrow("the response was lost");
  envoy.losesResponses = false;
  await clock.advance(minuteMs);
  expect(envoy.levels.get("http")).toBe("warning");
});

test("an unknown logger and too many loggers change nothing", async () => {
  const { envoy, levels } = setup(2);
  expect(await levels.change([...http("debug"), { logger: "htpp", level: "debug" }], minuteMs)).toEqual({
    kind: "unknown-logger",
    logger: "htpp",
    known: ["http", "pool", "upstream"],
  });
  expect(await levels.change(every("debug"), minuteMs)).toEqual({
    kind: "too-many",
    problem: "limit envoy-log-level-overrides of 2 items is reached",
  });
  expect([envoy.levels.get("http"), envoy.levels.get("pool")]).toEqual(["warning", "info"]);
});
