// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { namesIn, Rejections, type RejectionsDeps } from "../../../src/xds/rejections.ts";
import { testBudgets } from "../../support/budgets.ts";
import { testLog } from "../../support/test-log.ts";

const typeUrl = "type.googleapis.com/envoy.config.listener.v3.Listener";
const accepted = (version: string) =>
  ({ kind: "ack", response: { typeUrl, version, resources: [] } }) as unknown as Parameters<Rejections["record"]>[0];

test("accepted configuration is logged with its version, at most once a second for each type", () => {
  const { log, records } = testLog();
  let nowMs = 0;
  const metrics = { rejections: { inc: () => undefined }, rejected: { set: () => undefined } };
  const rejections = new Rejections({
    log,
    clock: { now: () => nowMs },
    metrics,
    budgets: testBudgets(),
  } as unknown as RejectionsDeps);
  for (let push = 0; push < 30; push++) {
    nowMs = push * 100;
    rejections.record(accepted(String(push)));
  }
  expect(records.map(({ level, fields }) => [level, fields["version"]])).toEqual([
    ["debug", "0"],
    ["debug", "10"],
    ["debug", "20"],
  ]);
  expect(rejections.current()).toEqual([]);
});

test("a NACK that names 30,000 resources takes linear time, and is a short line", () => {
  const names = Array.from({ length: 30_000 }, (_, index) => `cluster-name-${String(index)}`);
  const reason = `Error adding/updating cluster(s) ${names.map((name) => `${name}: bad`).join(", ")}`;
  const { log, records } = testLog();
  const metrics = { rejections: { inc: () => undefined }, rejected: { set: () => undefined } };
  const clock = { now: () => 0, monotonicMs: () => 0 };
  const rejections = new Rejections({ log, clock, metrics, budgets: testBudgets() } as unknown as RejectionsDeps);
  const resources = names.map((name) => ({ name, version: "1" }));
  const before = process.cpuUsage();
  rejections.record({
    kind: "nack",
    reason,
    versionInUse: "",
    response: { typeUrl, version: "1", nonce: "1", resources, removed: [] },
  });
  expect(process.cpuUsage(before).user).toBeLessThan(1_000_000);
  expect(rejections.current()[0]?.resources).toEqual(names.slice(0, 100));
  expect(JSON.stringify(records).length).toBeLessThan(2_000);
});

test("names of a NACK with spaces, or that are part of other names, are found whole", () => {
  const text = "Error adding/updating listener(s) a-b: why, outbound|80||x.y: 'c d': why";
  expect(namesIn(text, ["a", "a-b", "outbound|80||x.y", "y"])).toEqual(["a-b", "outbound|80||x.y"]);
  expect(namesIn("no luck with a b c today", ["a b", "a b c", "x"])).toEqual(["a b c"]);
});
