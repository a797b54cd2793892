// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { Refusals, type RefusalDeps } from "../../../src/xds/rejections.ts";
import { testLog } from "../../support/test-log.ts";

const typeUrl = "type.googleapis.com/envoy.config.listener.v3.Listener";
const accepted = (version: string) =>
  ({ kind: "accepted", answer: { typeUrl, version, resources: [] } }) as unknown as Parameters<Refusals["note"]>[0];

test("what Envoy accepts is told by its version, of a type once in a second", () => {
  const { log, records } = testLog();
  let nowMs = 0;
  const metrics = { rejections: { inc: () => undefined }, rejected: { set: () => undefined } };
  const refusals = new Refusals({ log, clock: { now: () => nowMs }, metrics } as unknown as RefusalDeps);
  for (let push = 0; push < 30; push++) {
    nowMs = push * 100;
    refusals.note(accepted(String(push)));
  }
  expect(records.map(({ level, fields }) => [level, fields["version"]])).toEqual([
    ["debug", "0"],
    ["debug", "10"],
    ["debug", "20"],
  ]);
  expect(refusals.current()).toEqual([]);
});
