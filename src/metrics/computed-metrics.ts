// SPDX-License-Identifier: Apache-2.0
import type { BudgetFacts } from "../lib/budget-set.ts";
import type { Sample } from "../lib/metrics.ts";

/** A counter or gauge whose value is read when a scrape asks for it. */
export interface ComputedMetric {
  readonly kind: "counter" | "gauge";
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly string[];
  samples(): readonly Sample[];
}

/** The certificate in use and the trusted roots. Times are milliseconds since the epoch; undefined is unknown. */
export interface CertificateStatus {
  /** Where certificates come from. */
  readonly source: string;
  readonly notBeforeMs: number | undefined;
  readonly notAfterMs: number | undefined;
  readonly rotationDueMs: number | undefined;
  readonly rootsFirstExpiryMs: number | undefined;
  readonly rootsSinceMs: number | undefined;
  readonly issued: number;
  readonly lastSuccessMs: number | undefined;
  readonly clockSkewMs: number;
  readonly remainingLifetimePercent: number | undefined;
}

/** How often Envoy was started again so far. */
export interface EnvoyStarts {
  readonly restarts: number;
  /** Hot restarts that took over, and those that did not. */
  readonly hotRestarts: number;
  readonly failedHotRestarts: number;
}

type Named = Pick<ComputedMetric, "name" | "help">;

/** A metric without labels; no series while `read` returns undefined. */
export function computed(kind: ComputedMetric["kind"], named: Named, read: () => number | undefined): ComputedMetric {
  const samples = (): readonly Sample[] => {
    const value = read();
    return value === undefined ? [] : [{ labels: [], value }];
  };
  return { ...named, kind, labelNames: [], samples };
}

export function buildMetrics(version: string): readonly ComputedMetric[] {
  return [
    {
      name: "istio_agent_build_info",
      help: "Version of the agent, as labels; always 1.",
      kind: "gauge",
      labelNames: ["version"],
      samples: () => [{ labels: [version], value: 1 }],
    },
  ];
}

export function readinessMetrics(ready: () => boolean): readonly ComputedMetric[] {
  const named = { name: "istio_agent_ready", help: "1 when the last readiness check passed, else 0." };
  return [computed("gauge", named, () => (ready() ? 1 : 0))];
}

export function envoyMetrics(starts: () => EnvoyStarts): readonly ComputedMetric[] {
  const named = {
    name: "istio_agent_envoy_restarts_total",
    help: "Times that Envoy was started again after it had died.",
  };
  return [
    computed("counter", named, () => starts().restarts),
    {
      name: "istio_agent_envoy_hot_restarts_total",
      help: "Replacements of Envoy while it served, by outcome.",
      kind: "counter",
      labelNames: ["outcome"],
      samples: () => {
        const { hotRestarts, failedHotRestarts } = starts();
        return [
          { labels: ["refused"], value: failedHotRestarts },
          { labels: ["swapped"], value: hotRestarts },
        ];
      },
    },
  ];
}

/** A budget has series from its first use on: most are never used in a given pod. */
export function budgetMetrics(budgets: () => readonly BudgetFacts[]): readonly ComputedMetric[] {
  const metric = (
    kind: ComputedMetric["kind"],
    name: string,
    help: string,
    read: (budget: BudgetFacts) => number,
  ): ComputedMetric => ({
    name: `attache_budget_${name}`,
    help,
    kind,
    labelNames: ["budget"],
    samples: () =>
      budgets()
        .filter(({ peak, spentTotal }) => peak > 0 || spentTotal > 0)
        .map((budget) => ({ labels: [budget.name], value: read(budget) })),
  });
  return [
    metric("gauge", "size", "Limit on what peers can make grow, in items or bytes. docs/limits.md", ({ size }) => size),
    metric(
      "gauge",
      "used",
      "What is in use now; of a budget per connection, by the one that uses most.",
      ({ used }) => {
        return used;
      },
    ),
    metric("gauge", "peak", "The most that was in use since the start.", ({ peak }) => peak),
    metric("counter", "spent_total", "Times that something did not fit.", ({ spentTotal }) => spentTotal),
  ];
}

type Reading = readonly [resource: "default" | "ROOTCA", value: number | undefined];

/**
 * @param status undefined while the agent holds no certificate
 * @param now wall clock, in milliseconds
 */
export function certificateMetrics(
  status: () => CertificateStatus | undefined,
  now: () => number,
): readonly ComputedMetric[] {
  const gauge = (
    name: string,
    help: string,
    read: (held: CertificateStatus) => readonly Reading[],
  ): ComputedMetric => ({
    name: `attache_cert_${name}`,
    help,
    kind: "gauge",
    labelNames: ["resource_name", "source"],
    samples: () => {
      const held = status();
      return held === undefined ? [] : samplesOf(read(held), held.source);
    },
  });
  return [
    expiryMetric(status, now),
    gauge("not_before_timestamp_seconds", "When the certificate in use begins.", (held) => [
      ["default", seconds(held.notBeforeMs)],
    ]),
    gauge("not_after_timestamp_seconds", "When the certificate in use, or the first trusted root, ends.", (held) => [
      ["default", seconds(held.notAfterMs)],
      ["ROOTCA", seconds(held.rootsFirstExpiryMs)],
    ]),
    gauge("rotation_due_timestamp_seconds", "When the next attempt to obtain a certificate is due.", (held) => [
      ["default", held.rotationDueMs === undefined || held.rotationDueMs < 0 ? undefined : seconds(held.rotationDueMs)],
    ]),
    gauge(
      "last_success_timestamp_seconds",
      "When a certificate, or a root not known before, was received last.",
      (held) => [
        ["default", seconds(held.lastSuccessMs)],
        ["ROOTCA", seconds(held.rootsSinceMs)],
      ],
    ),
    gauge("issued", "Certificates received since the start.", (held) => [["default", held.issued]]),
    gauge("clock_skew_seconds", "By how much the last certificate began in the future.", (held) => [
      ["default", seconds(held.clockSkewMs)],
    ]),
    gauge(
      "life_alarm_percent",
      "The threshold of remaining lifetime, 50, 25 or 10, passed without a renewal; 100 for none.",
      (held) => [["default", held.remainingLifetimePercent ?? 100]],
    ),
  ];
}

function expiryMetric(status: () => CertificateStatus | undefined, now: () => number): ComputedMetric {
  return {
    name: "istio_agent_cert_expiry_seconds",
    help: "Seconds until the certificate expires; negative once it has.",
    kind: "gauge",
    labelNames: ["resource_name"],
    samples: () => {
      const notAfterMs = status()?.notAfterMs;
      return notAfterMs === undefined ? [] : [{ labels: ["default"], value: (notAfterMs - now()) / 1_000 }];
    },
  };
}

function seconds(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : ms / 1_000;
}

function samplesOf(readings: readonly Reading[], source: string): readonly Sample[] {
  return readings.flatMap(([resource, value]) => (value === undefined ? [] : [{ labels: [resource, source], value }]));
}
