// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { systemClock } from "../../../src/lib/async/clock.ts";
import { GrpcError, GrpcStatus } from "../../../src/lib/grpc/status.ts";
import { parseSecretName } from "../../../src/sds/secret-name.ts";
import { SdsObserver } from "../../../src/sds/sds-observer.ts";
import { createTestMetrics } from "../../support/agent-metrics.ts";
import { testLog } from "../../support/test-log.ts";

test("outdated nonces and rejections are counted under pilot-agent's names too", () => {
  const { sds: metrics } = createTestMetrics();
  const observer = new SdsObserver({ metrics, log: testLog().log, clock: systemClock, onEvent: () => undefined });
  observer.report({ kind: "stale-nonce" });
  const secret = { version: "1" };
  const deliveries = [{ name: parseSecretName("default"), secret }];
  observer.report({ kind: "rejected", deliveries, reason: "bad" });
  expect(metrics.expiredNonces.samples()).toEqual([{ labels: ["sds"], value: 1 }]);
  expect(metrics.rejects.samples()).toEqual([{ labels: ["sds"], value: 1 }]);
  expect(metrics.nacks.value("default")).toBe(1);
});

test("requests that are rejected again and again are few lines of log, and each is counted", () => {
  const { sds: metrics } = createTestMetrics();
  const { log, records } = testLog();
  const observer = new SdsObserver({ metrics, log, clock: systemClock, onEvent: () => undefined });
  const status = GrpcStatus.invalidArgument;
  for (let time = 0; time < 1_000; time++) observer.requestRejected(new GrpcError(status, "no node"));
  expect(records.length).toBeLessThanOrEqual(10);
  expect(metrics.rejectedRequests.samples()).toEqual([{ labels: [String(status)], value: 1_000 }]);
});
