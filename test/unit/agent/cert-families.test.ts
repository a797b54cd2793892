// SPDX-License-Identifier: Apache-2.0
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { createCertFamilies } from "../../../src/agent/cert-families.ts";
import type { CertStatus } from "../../../src/cert/index.ts";

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
  lastSuccessMs: 1_500,
  clockSkewMs: 250,
  lifeAlarmPercent: 25,
};

test("the certificate is seen with its times by resource and source, and tries by outcome", () => {
  const { families, signed } = createCertFamilies(() => status);
  signed("ok");
  signed("refused", "PERMISSION_DENIED");
  signed("refused", "PERMISSION_DENIED");
  const seen = Object.fromEntries(
    families.flatMap((family) =>
      family.kind === "histogram"
        ? []
        : family.measure.samples().map((one) => [`${family.name} ${one.labels.join(" ")}`, one.value]),
    ),
  );
  expect(seen).toEqual({
    "attache_cert_not_before_timestamp_seconds default ca": 1,
    "attache_cert_not_after_timestamp_seconds default ca": 61,
    "attache_cert_not_after_timestamp_seconds ROOTCA ca": 90,
    "attache_cert_rotation_due_timestamp_seconds default ca": 31,
    "attache_cert_last_success_timestamp_seconds default ca": 1.5,
    "attache_cert_last_success_timestamp_seconds ROOTCA ca": 2,
    "attache_cert_issued default ca": 2,
    "attache_cert_clock_skew_seconds default ca": 0.25,
    "attache_cert_life_alarm_percent default ca": 25,
    "attache_cert_attempts_total ok ": 1,
    "attache_cert_attempts_total refused PERMISSION_DENIED": 2,
  });
});

test("B10: what is not known has no series", () => {
  const { families } = createCertFamilies(() => undefined);
  const series = families.flatMap((family) => (family.kind === "histogram" ? [] : family.measure.samples()));
  expect(series).toEqual([]);
});

test("docs/metrics.md has each of them with its kind, labels and meaning, and no other", () => {
  const rows = createCertFamilies(() => undefined).families.map((family) => {
    const labels = family.kind === "histogram" ? [] : family.measure.labelNames;
    return `| \`${family.name}\` | ${family.kind} | ${labels.map((label) => `\`${label}\``).join(", ")} | ${family.help} |`;
  });
  expect(readFileSync("docs/metrics.md", "utf8").match(/^\| `attache_cert_.*\|$/gm)).toEqual(rows);
});
