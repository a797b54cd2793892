// SPDX-License-Identifier: Apache-2.0
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { expect, test } from "vitest";
import type { EnvoyReadiness } from "../../../../src/model/envoy-readiness.ts";
import { Readiness } from "../../../../src/model/readiness.ts";
import { envoyObstacle } from "../../../../src/status/readiness/envoy-conditions.ts";
import { ReadinessJudge } from "../../../../src/status/readiness/readiness-judge.ts";
import { untilAborted } from "../../../../src/lib/async/tasks.ts";
import { renderReport, reportJson } from "../../../../src/status/readiness/readiness-report.ts";
import type { ReadinessSources } from "../../../../src/status/status-sources.ts";
import { FakeClock } from "../../../support/fake-clock.ts";
import { temporaryDirectory } from "../../../support/temporary-directory.ts";
import { testLog } from "../../../support/test-log.ts";

const live: EnvoyReadiness = {
  cdsUpdates: 1,
  cdsRejected: 0,
  ldsUpdates: 1,
  ldsRejected: 0,
  state: "LIVE",
  workersStarted: true,
};
const empty: EnvoyReadiness = { ...live, cdsUpdates: 0, ldsUpdates: 0, state: undefined, workersStarted: undefined };

/** A judge whose Envoy answers what the test last put there; an error is thrown. */
function fixture(sources: Partial<ReadinessSources> = {}, mode: "compatible" | "strict" = "compatible") {
  const clock = new FakeClock();
  const { log, records } = testLog();
  const holds = new Readiness(() => clock.now());
  const envoy: { says: EnvoyReadiness | Error; asked: number } = { says: live, asked: 0 };
  let firstReady = 0;
  const all: ReadinessSources = {
    holds,
    envoy: {
      read: () => {
        envoy.asked++;
        return envoy.says instanceof Error ? Promise.reject(envoy.says) : Promise.resolve(envoy.says);
      },
    },
    terminating: () => undefined,
    onFirstReady: () => firstReady++,
    ...sources,
  };
  const judge = new ReadinessJudge(all, mode, { clock, log });
  return { judge, clock, holds, envoy, records, firstReady: () => firstReady };
}

test.each([
  ["R1 one update of each kind, LIVE, workers", live, undefined],
  [
    "R2 only listeners",
    { ...live, cdsUpdates: 0 },
    "config not fully received from XDS server: cds updates: 0 successful, 0 rejected; lds updates: 1 successful, 0 rejected",
  ],
  [
    "R3 only clusters",
    { ...live, ldsUpdates: 0 },
    "config not fully received from XDS server: cds updates: 1 successful, 0 rejected; lds updates: 0 successful, 0 rejected",
  ],
  [
    "R4 clusters rejected",
    { ...live, cdsUpdates: 0, cdsRejected: 1 },
    "config received from XDS server, but was rejected: cds updates: 0 successful, 1 rejected; lds updates: 1 successful, 0 rejected",
  ],
  [
    "R5 nothing yet",
    empty,
    "config not received from XDS server (is Istiod running?): cds updates: 0 successful, 0 rejected; lds updates: 0 successful, 0 rejected",
  ],
  ["R6 no workers", { ...live, workersStarted: false }, "workers have not yet started"],
  [
    "R7 initializing, no workers stat",
    { ...live, state: "PRE_INITIALIZING" as const, workersStarted: undefined },
    "server is not live, current state is: PRE_INITIALIZING",
  ],
  [
    "R8 only the server state",
    { ...live, workersStarted: undefined },
    "failed to get readiness stats: listener_manager.workers_started is not yet updated",
  ],
  ["draining", { ...live, state: "DRAINING" as const }, "server is not live, current state is: DRAINING"],
  ["rejections after a success do no harm", { ...live, cdsRejected: 3, ldsRejected: 1 }, undefined],
])("%s", (_name, envoy, obstacle) => {
  expect(envoyObstacle(envoy)).toBe(obstacle);
});

test("R9 a pod that ends is not ready, whatever Envoy says", async () => {
  const { judge } = fixture({ terminating: () => "received signal: terminated" });
  const { ready, obstacles } = await judge.judge();
  expect([ready, obstacles[0]?.detail]).toEqual([false, "server is terminated: received signal: terminated"]);
});

test("R10 Envoy's state counts until it was live once, and not after", async () => {
  const { judge, envoy, firstReady } = fixture();
  const answers = [];
  for (envoy.says of [empty, { ...live, workersStarted: false }, live, empty, new Error("admin is gone")]) {
    answers.push((await judge.judge()).ready);
  }
  expect(answers).toEqual([false, false, true, true, true]);
  expect([envoy.asked, firstReady()]).toEqual([3, 1]);
});

test("an Envoy that failed and was restarted must be live again; meanwhile the tree shows its failure", async () => {
  let failures = { count: 0, last: "" };
  let says: EnvoyReadiness | Error = live;
  const read = (): Promise<EnvoyReadiness> => (says instanceof Error ? Promise.reject(says) : Promise.resolve(says));
  const { judge } = fixture({ envoy: { read, failures: () => failures } });
  expect((await judge.judge()).ready).toBe(true);
  failures = { count: 1, last: "exit code 7" };
  says = new Error("refused");
  expect((await judge.judge()).ready).toBe(false);
  expect(renderReport(await judge.report())).toContain(
    "[-] process: Envoy failed with exit code 7 and is not up again; failures so far: 1; read its last lines in the log",
  );
  says = live;
  expect((await judge.judge()).ready).toBe(true);
  says = new Error("refused");
  expect((await judge.judge()).ready).toBe(true);
});

test.each(["readiness", "listeners"])(
  "an Envoy that fails while its %s is read is not taken for a live one",
  async (part) => {
    let count = 0;
    let state: EnvoyReadiness = live;
    const fails = (): void => {
      count++;
      state = empty;
    };
    const read = () => {
      const response = state;
      if (part === "readiness" && count === 0) fails();
      return Promise.resolve(response);
    };
    const listeners = () => {
      if (part === "listeners" && count === 0) fails();
      return Promise.reject(new Error("refused"));
    };
    const { judge } = fixture({ envoy: { read, listeners, failures: () => ({ count, last: "exit code 7" }) } });
    await judge.judge();
    expect(judge.isStillReady()).toBe(false);
    expect((await judge.judge()).ready).toBe(false);
  },
);

test("in strict mode every answer tells Envoy's state of now", async () => {
  const { judge, envoy } = fixture({}, "strict");
  const answers = [];
  for (envoy.says of [live, { ...live, state: "DRAINING" as const }, live, new Error("admin is gone"), live]) {
    answers.push((await judge.judge()).ready);
  }
  expect(answers).toEqual([true, false, true, false, true]);
});

test.each([
  ["strict", false, "[-] envoy: ", /listen any more on a, b, c, d, e and 2 more \(since/],
  ["compatible", true, "[~] envoy: ", /listen any more on a, b, c, d, e and 2 more$/m],
] as const)("a lost listener shows in the tree, in %s mode the pod is ready: %s", async (mode, ready, line, words) => {
  let closed: readonly string[] = [];
  const listeners = () => Promise.resolve({ open: 3, closed, allRemoved: false });
  const { judge } = fixture({ envoy: { read: () => Promise.resolve(live), listeners } }, mode);
  expect((await judge.judge()).ready).toBe(true);
  expect(renderReport(await judge.report())).toContain("  [+] open listeners: 3\n");
  closed = ["a", "b", "c", "d", "e", "f", "g"];
  expect((await judge.judge()).ready).toBe(ready);
  const tree = renderReport(await judge.report());
  expect(tree).toContain(`${line}Envoy does not`);
  expect(tree).toMatch(words);
  expect(tree).toContain("  [-] open listeners: Envoy does not listen any more on a, b");
  closed = [];
  expect((await judge.judge()).ready).toBe(true);
});

test.each(["compatible", "strict"] as const)(
  "%s: the report's listeners are those of an Envoy that was found live, not those before it was",
  async (mode) => {
    const order: string[] = [];
    const read = async () => {
      await Promise.resolve();
      order.push("state");
      return live;
    };
    const listeners = () => {
      order.push("listeners");
      return Promise.resolve({ open: 3, closed: [], allRemoved: false });
    };
    await fixture({ envoy: { read, listeners } }, mode).judge.report();
    expect(order).toEqual(["state", "listeners"]);
  },
);

test("in compatible mode listeners are looked at before the first success of each Envoy, and what fails there is nothing", async () => {
  let looks = 0;
  let count = 0;
  const listeners = () => Promise.reject(new Error(`look ${String(++looks)}`));
  const envoy = { read: () => Promise.resolve(live), listeners, failures: () => ({ count, last: "" }) };
  const { judge } = fixture({ envoy });
  for (const expected of [1, 1, 1]) {
    expect([(await judge.judge()).ready, looks]).toEqual([true, expected]);
  }
  count = 1;
  expect([(await judge.judge()).ready, looks]).toEqual([true, 2]);
});

test("R11 a hold keeps the pod unready with its own words, alone or beside a live Envoy", async () => {
  for (const sources of [{}, { envoy: undefined }]) {
    const { judge, holds } = fixture(sources);
    const hold = holds.hold("DNS", "not ready");
    expect(await judge.judge()).toMatchObject({ ready: false, obstacles: [{ name: "DNS", detail: "not ready" }] });
    hold.release();
    expect((await judge.judge()).ready).toBe(true);
    hold.set("expired");
    expect((await judge.judge()).ready).toBe(false);
  }
});

test.each(["compatible", "strict"] as const)("a note is told and does not gate, %s", async (mode) => {
  const { judge, holds } = fixture({}, mode);
  const note = holds.note("xds", "served from cache");
  expect((await judge.judge()).ready).toBe(true);
  expect((await judge.report()).checks).toContainEqual(
    expect.objectContaining({ name: "xds", state: "not-counted", detail: "served from cache" }),
  );
  note.release();
  expect((await judge.judge()).obstacles).toEqual([]);
});

test("a file that a proxyless application needs is waited for by name", async () => {
  await using directory = await temporaryDirectory();
  const requiredFiles = ["cert-chain.pem", "key.pem"].map((name) => join(directory.path, name));
  const { judge } = fixture({ envoy: undefined, requiredFiles });
  await writeFile(requiredFiles[0] ?? "", "");
  expect((await judge.judge()).obstacles).toMatchObject([{ detail: `${requiredFiles[1] ?? ""} does not exist` }]);
  await writeFile(requiredFiles[1] ?? "", "");
  expect((await judge.judge()).ready).toBe(true);
});

test("being unready is told once, again when the reason changes, and once a minute", async () => {
  const { judge, clock, envoy, records } = fixture();
  const warnings = () => records.filter(({ level }) => level === "warn").length;
  envoy.says = empty;
  for (let probe = 0; probe < 50; probe++) {
    await judge.judge();
    await clock.advance(1_000);
  }
  expect(warnings()).toBe(1);
  envoy.says = { ...live, workersStarted: false };
  await judge.judge();
  expect(warnings()).toBe(2);
  await clock.advance(60_000);
  await judge.judge();
  expect(warnings()).toBe(3);
});

test.each([
  ["names what it waits for", () => Promise.resolve(["SdsApi default"]), ": Envoy waits for SdsApi default\n"],
  ["is told without reasons where there are none", () => Promise.reject(new Error("404")), "\n"],
])("an Envoy that has its configuration and does not start its workers %s", async (_name, initTargets, end) => {
  const read = () => Promise.resolve({ ...live, state: "INITIALIZING" as const, workersStarted: undefined });
  const { judge } = fixture({ envoy: { read, initTargets } });
  const tree = renderReport(await judge.report());
  expect(tree).toContain("  [-] server state: server is not live, current state is: INITIALIZING\n");
  expect(tree).toContain(`  [-] workers: workers have not yet started${end}`);
});

test("without configuration that is the cause, and what follows from it is no failure of its own", async () => {
  const { judge, envoy } = fixture();
  envoy.says = { ...empty, state: "PRE_INITIALIZING" as const };
  const tree = renderReport(await judge.report());
  expect(tree.match(/^ {2}\[-\].*$/gm)).toEqual([
    "  [-] clusters (CDS): no update was received (0 accepted, 0 rejected)",
    "  [-] listeners (LDS): no update was received (0 accepted, 0 rejected)",
  ]);
  expect(tree.match(/^ {2}\[~\] (server state|workers): .*: Envoy waits for its configuration$/gm)).toHaveLength(2);
});

test("callers at the same time share one question to Envoy", async () => {
  const { judge, envoy } = fixture();
  await Promise.all(Array.from({ length: 20 }, () => judge.judge()));
  expect(envoy.asked).toBe(1);
});

test("the tree shows every condition, also those that do not count any more, and the waterfall adds up", async () => {
  const phases = [
    { name: "Envoy started", atMs: 20.4 },
    { name: "certificate in Envoy", atMs: 131.9 },
    { name: "SDS served", atMs: 31.2 },
  ];
  const { judge, envoy, holds } = fixture({ startPhases: () => phases });
  await judge.judge();
  envoy.says = { ...live, state: "DRAINING" as const, ldsRejected: 2 };
  holds.hold("identity", "sign CSR at istiod:15012: unreachable");
  const report = await judge.report();
  expect(renderReport(report)).toBe(`ready: no
[~] envoy: server is not live, current state is: DRAINING
  [+] admin interface
  [+] clusters (CDS): 1 accepted, 0 rejected
  [+] listeners (LDS): 1 accepted, 2 rejected
  [-] server state: server is not live, current state is: DRAINING
  [+] workers
[-] identity: sign CSR at istiod:15012: unreachable (since 2026-01-01T00:00:00.000Z)

start:
  Envoy started               0.0 ms  +20.4 ms
  SDS served                 20.4 ms  +10.8 ms
  certificate in Envoy       31.2 ms  +100.7 ms
`);
  expect(report.phases.reduce((sum, { durationMs }) => sum + durationMs, 0)).toBeCloseTo(131.9);
  expect(reportJson(report)).toMatchObject({
    ready: false,
    checks: [
      { name: "envoy", state: "not-counted", checks: [{}, {}, {}, { name: "server state", state: "failed" }, {}] },
      { name: "identity", since: "2026-01-01T00:00:00.000Z" },
    ],
  });
});

test("a report waits 300 ms for a silent Envoy, shared among callers; a ready pod stays ready, and the log says it once", async () => {
  let [isSilent, asked] = [false, 0];
  const read = async (signal: AbortSignal): Promise<EnvoyReadiness> => {
    asked++;
    if (isSilent) await untilAborted(signal);
    signal.throwIfAborted();
    return live;
  };
  const { judge, clock, records } = fixture({ envoy: { read } });
  await judge.report();
  isSilent = true;
  for (let round = 0; round < 2; round++) {
    asked = 0;
    const reports = [judge.report(), judge.report()];
    await clock.advance(300);
    const [first] = await Promise.all(reports);
    expect([first?.ready, asked]).toEqual([true, 1]);
    expect(first?.checks[0]).toMatchObject({
      name: "envoy",
      state: "not-counted",
      children: [{ name: "admin interface", code: "envoy-silent" }],
    });
  }
  isSilent = false;
  await judge.report();
  expect(records.map(({ level, message }) => [level, message])).toEqual([
    ["info", "Envoy proxy is ready"],
    ["warn", "Envoy's admin interface does not respond"],
    ["info", "Envoy's admin interface responds again"],
  ]);
});

test("a probe gives a slow Envoy more time than a report", async () => {
  let respond: (() => void) | undefined;
  const read = () => new Promise<EnvoyReadiness>((resolve) => (respond = () => resolve(live)));
  const { judge, clock } = fixture({ envoy: { read } }, "strict");
  const verdict = judge.judge();
  await clock.advance(2_000);
  respond?.();
  expect((await verdict).ready).toBe(true);
});
