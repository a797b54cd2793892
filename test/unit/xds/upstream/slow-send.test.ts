// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { watchSend } from "../../../../src/xds/upstream/slow-send.ts";
import { FakeClock } from "../../../support/fake-clock.ts";
import { testLog } from "../../../support/test-log.ts";

const message = { typeUrl: "type.googleapis.com/envoy.config.cluster.v3.Cluster", length: 5_000_000 };

test("an answer that Envoy does not take within 10 s is told once, with type and size", async () => {
  const clock = new FakeClock();
  const { log, records } = testLog();
  using _watch = watchSend(message, { clock, log });
  await clock.advance(9_999);
  expect(records).toEqual([]);
  await clock.advance(60_000);
  expect(records).toMatchObject([{ level: "warn", fields: message }]);
});

test("an answer that is taken in time is not told", async () => {
  const clock = new FakeClock();
  const { log, records } = testLog();
  const watch = watchSend(message, { clock, log });
  await clock.advance(9_000);
  watch[Symbol.dispose]();
  await clock.advance(60_000);
  expect(records).toEqual([]);
});
