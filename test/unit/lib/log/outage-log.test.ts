// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { OutageLog } from "../../../../src/lib/log/outage-log.ts";
import { FakeClock } from "../../../support/fake-clock.ts";
import { testLog } from "../../../support/test-log.ts";

const unreachable = { level: "warn", message: "unreachable", fields: { reason: "refused" } } as const;

function startLog() {
  const { log, records } = testLog();
  const clock = new FakeClock();
  const lines = (): readonly unknown[] =>
    records.map(({ level, message, fields }) => [level, message, fields["failures"], fields["lastedMs"]]);
  return { clock, lines, records, outage: new OutageLog(log, clock, { first: "connected", recovered: "connected" }) };
}

test("C21: an outage is a line when it begins, one a minute with a count, and one when it ends", async () => {
  const { clock, outage, lines, records } = startLog();
  outage.works({ address: "a" });
  outage.works({ address: "a" });
  for (let second = 0; second < 130; second++) {
    outage.failed(unreachable);
    await clock.advance(1_000);
  }
  outage.works({ address: "b" });
  expect(lines()).toEqual([
    ["info", "connected", undefined, undefined],
    ["warn", "unreachable", undefined, undefined],
    ["warn", "unreachable", 60, 60_000],
    ["warn", "unreachable", 60, 120_000],
    ["info", "connected", 130, 130_000],
  ]);
  expect(records.at(-1)?.fields).toMatchObject({ address: "b" });
});

test("C21: a failure of another kind within an outage is logged at once, and each kind once", async () => {
  const { clock, outage, lines } = startLog();
  for (let second = 0; second < 20; second++) {
    outage.failed(unreachable);
    outage.failed({ level: "warn", message: "rejected" });
    await clock.advance(1_000);
  }
  expect(lines()).toEqual([
    ["warn", "unreachable", undefined, undefined],
    ["warn", "rejected", undefined, undefined],
  ]);
});

test("C21: a peer that works and fails every second is one outage, which ends when it has worked for a minute", async () => {
  const { clock, outage, lines } = startLog();
  for (let second = 0; second < 59; second++) {
    outage.failed(unreachable);
    outage.works();
    await clock.advance(1_000);
  }
  expect(lines()).toEqual([
    ["warn", "unreachable", undefined, undefined],
    ["info", "connected", 1, 0],
  ]);
  await clock.advance(60_000);
  expect(lines().slice(2)).toEqual([["info", "connected", 58, 117_000]]);
  await clock.advance(120_000);
  outage.failed(unreachable);
  expect(lines().slice(3)).toEqual([["warn", "unreachable", undefined, undefined]]);
});

test("nothing is logged after it was disposed of", async () => {
  const { clock, outage, lines } = startLog();
  outage.failed(unreachable);
  outage.works();
  outage.failed(unreachable);
  outage.works();
  outage[Symbol.dispose]();
  await clock.advance(120_000);
  expect(lines()).toHaveLength(2);
  expect(clock.pendingDelaysMs).toEqual([]);
});

test("the first ten kinds that a peer makes have lines of their own, all others are counted", async () => {
  const { clock, outage, lines } = startLog();
  for (let second = 0; second < 60; second++) {
    outage.failed({ ...unreachable, kind: `reason ${String(second)}` });
    await clock.advance(1_000);
  }
  expect(lines()).toHaveLength(10);
  outage.failed({ ...unreachable, kind: "another reason" });
  outage.failed({ ...unreachable, kind: "and another one" });
  await clock.advance(60_000);
  outage.failed({ ...unreachable, kind: "reason 0" });
  expect(lines().slice(10)).toEqual([["warn", "unreachable", 53, 120_000]]);
});

test("without a message for the first time, only the end of an outage is logged", () => {
  const { log, records } = testLog();
  const outage = new OutageLog(log, new FakeClock(), { recovered: "responds again" });
  outage.works();
  expect(records).toEqual([]);
  outage.failed(unreachable);
  outage.works();
  expect(records.map(({ message }) => message)).toEqual(["unreachable", "responds again"]);
});
