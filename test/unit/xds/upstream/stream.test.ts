// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { watchSend } from "../../../../src/xds/upstream/stream.ts";
import { FakeClock } from "../../../support/fake-clock.ts";
import { testLog } from "../../../support/test-log.ts";

const message = { typeUrl: "type.googleapis.com/envoy.config.cluster.v3.Cluster", length: 5_000_000 };

test("a response that Envoy does not read within 10 s is logged once, with type and size", async () => {
  const clock = new FakeClock();
  const { log, records } = testLog();
  using _watch = watchSend(message, { clock, log });
  await clock.advance(9_999);
  expect(records).toEqual([]);
  await clock.advance(60_000);
  expect(records).toMatchObject([{ level: "warn", fields: message }]);
});

test("a response that is read in time is not logged", async () => {
  const clock = new FakeClock();
  const { log, records } = testLog();
  const watch = watchSend(message, { clock, log });
  await clock.advance(9_000);
  watch[Symbol.dispose]();
  await clock.advance(60_000);
  expect(records).toEqual([]);
});
