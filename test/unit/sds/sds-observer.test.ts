// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import { parseSecretName } from "../../../src/sds/secret-name.ts";
import { SdsObserver } from "../../../src/sds/sds-observer.ts";
import { createTestMetrics } from "../../support/agent-metrics.ts";
import { testLog } from "../../support/test-log.ts";

test("outdated nonces and rejections are counted under pilot-agent's names too", () => {
  const { sds: metrics } = createTestMetrics();
  const observer = new SdsObserver({ metrics, log: testLog().log, onEvent: () => undefined });
  observer.report({ kind: "stale-nonce" });
  const secret = { version: "1" };
  const deliveries = [{ name: parseSecretName("default"), secret }];
  observer.report({ kind: "rejected", deliveries, reason: "bad" });
  expect(metrics.expiredNonces.samples()).toEqual([{ labels: ["sds"], value: 1 }]);
  expect(metrics.rejects.samples()).toEqual([{ labels: ["sds"], value: 1 }]);
  expect(metrics.nacks.value("default")).toBe(1);
});
