// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { Rejections, type RejectionsDeps } from "../../../src/xds/rejections.ts";
import { testLog } from "../../support/test-log.ts";

const typeUrl = "type.googleapis.com/envoy.config.listener.v3.Listener";
const accepted = (version: string) =>
  ({ kind: "ack", response: { typeUrl, version, resources: [] } }) as unknown as Parameters<Rejections["record"]>[0];

test("accepted configuration is logged with its version, at most once a second for each type", () => {
  const { log, records } = testLog();
  let nowMs = 0;
  const metrics = { rejections: { inc: () => undefined }, rejected: { set: () => undefined } };
  const rejections = new Rejections({ log, clock: { now: () => nowMs }, metrics } as unknown as RejectionsDeps);
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
