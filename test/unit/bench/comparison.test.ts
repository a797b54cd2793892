// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { isOver, summarize } from "../../../scripts/bench/comparison.ts";
import { assertLoad } from "../../../scripts/bench/load-assertion.ts";
import { FamilyTime, parseBusyTicks, parseProcessStat } from "../../../scripts/bench/machine-load.ts";
import { isBusy, overLimits, renderReport, reportOf } from "../../../scripts/bench/report.ts";
import { runInRounds } from "../../../scripts/bench/rounds.ts";

test("the ratio is the median of the ratios of each round, not the ratio of the medians", () => {
  const samples = { attache: [10, 30, 50], reference: [10, 10, 100] };
  const row = summarize({ name: "start", unit: "ms", samples, limits: { reference: { atMost: 0.9 } } });
  expect(row.summaries.attache).toEqual({ min: 10, median: 30, max: 50 });
  expect(row.ratios.reference).toMatchObject({ median: 1, within: false });
  expect(isOver(row)).toBe(true);
});

test("a bound beside the peer counts only when there is a peer", () => {
  const limits = { peer: { atLeast: 0.8 } };
  const alone = summarize({ name: "requests", unit: "1/s", samples: { attache: [1] }, limits });
  expect(isOver(alone)).toBe(false);
  const beside = summarize({ name: "requests", unit: "1/s", samples: { attache: [1], peer: [2] }, limits });
  expect(beside.ratios).toEqual({ peer: { median: 0.5, bound: { atLeast: 0.8 }, within: false } });
  expect(isOver(beside)).toBe(true);
});

test("subjects run in alternation, and what is not counted warms up", async () => {
  const order: string[] = [];
  const subject = (name: string, value: number) => () => {
    order.push(name);
    return Promise.resolve({ a: value });
  };
  const rows = await runInRounds({
    rounds: 2,
    subjects: { attache: subject("attache", 1), reference: subject("reference", 2), peer: undefined },
    rows: { a: { name: "A", unit: "ms" }, b: { name: "B", unit: "ms" } },
  });
  expect(order).toEqual(["attache", "reference", "reference", "attache", "attache", "reference"]);
  expect(rows).toEqual([
    { name: "A", unit: "ms", samples: { attache: [1, 1], reference: [2, 2] } },
    { name: "B", unit: "ms", samples: {} },
  ]);
});

test("a load of a tenth of what the suite says is an error, one a little short is not", () => {
  expect(() => {
    assertLoad("bytes received by Envoy", 2e6, 20e6);
  }).toThrow("the load was not what the suite says: bytes received by Envoy: 2000000 of 20000000");
  assertLoad("bytes received by Envoy", 19.5e6, 20e6);
});

test("a report on a busy machine says so, beside what is over its limits", () => {
  const rows = [
    { name: "blocked", value: 2, unit: "ms", limit: 1 },
    { name: "start", unit: "ms", samples: { attache: [2], reference: [1] }, limits: { reference: { atMost: 1.5 } } },
  ];
  const quiet = reportOf("some", 3, 0.05, rows);
  expect(overLimits(quiet)).toEqual(["blocked", "start"]);
  expect(isBusy(quiet)).toBe(false);
  const text = renderReport(reportOf("some", 3, 0.5, rows));
  expect(text).toContain("2.00x  OVER <= 1.5");
  expect(text).toContain("The machine was busy: other work had 50 % of a processor");
});

test("time of children belongs to the family, also after their parents have ended", () => {
  const family = new FamilyTime(10);
  const root = { pid: 10, parent: 5, started: 1, ticks: 10 };
  const other = { pid: 99, parent: 1, started: 1, ticks: 500 };
  const agent = { pid: 11, parent: 10, started: 2, ticks: 20 };
  const envoy = { pid: 12, parent: 11, started: 3, ticks: 30 };
  expect(family.update([root, other, agent, envoy])).toBe(60);
  // the agent was waited for by the root; Envoy is an orphan, and works on
  const orphan = { ...envoy, parent: 1, ticks: 40 };
  expect(family.update([{ ...root, ticks: 30 }, other, orphan])).toBe(70);
  expect(family.update([{ ...root, ticks: 30 }, other])).toBe(70);
});

test("the kernel's texts are read", () => {
  const stat = "12 (a (b) c) S 11 12 12 0 -1 4194304 1 2 3 4 100 20 3 4 20 0 7 0 5555 1 2";
  expect(parseProcessStat(stat)).toEqual({ pid: 12, parent: 11, started: 5555, ticks: 127 });
  expect(parseProcessStat("")).toBeUndefined();
  expect(parseBusyTicks("cpu  100 20 30 4000 50 6 7 8 0 0\ncpu0 1 2 3")).toBe(158);
});
