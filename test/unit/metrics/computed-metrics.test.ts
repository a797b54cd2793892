// SPDX-License-Identifier: Apache-2.0
import { expect, test } from "vitest";
import type { CertStatus } from "../../../src/cert/index.ts";
import { certificateMetrics } from "../../../src/metrics/computed-metrics.ts";

const status: CertStatus = {
  state: "valid",
  source: "ca",
  spiffeId: "spiffe://cluster.local/ns/demo/sa/web",
  serial: "01",
  notBeforeMs: 1_000,
  notAfterMs: 61_000,
  rotationDueMs: 31_000,
  rootsFirstExpiryMs: 90_000,
  rootsSinceMs: 2_000,
  attempts: 3,
  issued: 2,
  failuresInARow: 0,
  lastError: undefined,
  failingSinceMs: undefined,
  lastFailure: undefined,
  lastSuccessMs: 1_500,
  clockSkewMs: 250,
  remainingLifetimePercent: 25,
};

test("the certificate's times are exposed by resource and source", () => {
  const metrics = certificateMetrics(
    () => status,
    () => 31_000,
  );
  const seen = Object.fromEntries(
    metrics.flatMap((metric) =>
      metric.samples().map((sample) => [`${metric.name} ${sample.labels.join(" ")}`, sample.value]),
    ),
  );
  expect(seen).toEqual({
    "istio_agent_cert_expiry_seconds default": 30,
    "attache_cert_not_before_timestamp_seconds default ca": 1,
    "attache_cert_not_after_timestamp_seconds default ca": 61,
    "attache_cert_not_after_timestamp_seconds ROOTCA ca": 90,
    "attache_cert_rotation_due_timestamp_seconds default ca": 31,
    "attache_cert_last_success_timestamp_seconds default ca": 1.5,
    "attache_cert_last_success_timestamp_seconds ROOTCA ca": 2,
    "attache_cert_issued default ca": 2,
    "attache_cert_clock_skew_seconds default ca": 0.25,
    "attache_cert_life_alarm_percent default ca": 25,
  });
});

test("B10: what is not known has no series", () => {
  const metrics = certificateMetrics(
    () => undefined,
    () => 0,
  );
  expect(metrics.flatMap((metric) => metric.samples())).toEqual([]);
});
