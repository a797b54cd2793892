// SPDX-License-Identifier: Apache-2.0
import type { CertStatus } from "../cert/index.ts";
import { Measure, type Sample } from "../lib/measures.ts";
import type { MetricFamily } from "../metrics/index.ts";

/** What is seen of the workload's certificate and of how it is obtained. */
export interface CertFamilies {
  readonly families: readonly MetricFamily[];
  /** Counts a try by its outcome and the status of the call. */
  readonly signed: (outcome: string, answerCode?: string) => void;
}

type Reading = readonly [resource: "default" | "ROOTCA", value: number | undefined];

/** @param status asked at each scrape; undefined while there is no store */
export function createCertFamilies(status: () => CertStatus | undefined): CertFamilies {
  const attempts = new Measure(["outcome", "code"]);
  const gauge = (name: string, help: string, read: (now: CertStatus) => readonly Reading[]): MetricFamily => ({
    name: `attache_cert_${name}`,
    help,
    kind: "gauge",
    measure: { labelNames: ["resource_name", "source"], samples: () => samplesOf(status(), read) },
  });
  const seconds = (ms: number | undefined): number | undefined => (ms === undefined ? undefined : ms / 1_000);
  return {
    families: [
      gauge("not_before_timestamp_seconds", "When the certificate in use begins.", (now) => [
        ["default", seconds(now.notBeforeMs)],
      ]),
      gauge("not_after_timestamp_seconds", "When the certificate in use, or the first trusted root, ends.", (now) => [
        ["default", seconds(now.notAfterMs)],
        ["ROOTCA", seconds(now.rootsFirstExpiryMs)],
      ]),
      gauge("rotation_due_timestamp_seconds", "When the next try for a certificate is due.", (now) => [
        ["default", now.rotationDueMs === undefined || now.rotationDueMs < 0 ? undefined : now.rotationDueMs / 1_000],
      ]),
      gauge(
        "last_success_timestamp_seconds",
        "When a certificate, or a root not known before, was received last.",
        (now) => [
          ["default", seconds(now.lastSuccessMs)],
          ["ROOTCA", seconds(now.rootsSinceMs)],
        ],
      ),
      gauge("issued", "Certificates received since the start.", (now) => [["default", now.issued]]),
      gauge("clock_skew_seconds", "By how much the last certificate began in the future.", (now) => [
        ["default", now.clockSkewMs / 1_000],
      ]),
      gauge(
        "life_alarm_percent",
        "The mark of life left, 50, 25 or 10, passed without a renewal; 100 for none.",
        (now) => [["default", now.lifeAlarmPercent ?? 100]],
      ),
      {
        name: "attache_cert_attempts_total",
        help: "Tries for a certificate, by outcome (ok, or the kind of failure) and the status of the call.",
        kind: "counter",
        measure: attempts,
      },
    ],
    signed: (outcome, answerCode = "") => {
      attempts.inc(outcome, answerCode);
    },
  };
}

function samplesOf(now: CertStatus | undefined, read: (now: CertStatus) => readonly Reading[]): readonly Sample[] {
  if (now === undefined) return [];
  return read(now).flatMap(([resource, value]) =>
    value === undefined ? [] : [{ labels: [resource, now.source], value }],
  );
}
