// SPDX-License-Identifier: Apache-2.0
import { Counter, Gauge, Registry } from "prom-client";
import type { DurationMeasure, Sample } from "../lib/measures.ts";
import type { ComputedMeasure, MetricFamily } from "./metric-family.ts";
import type { MetricName } from "./names.ts";

export interface Exposition {
  /** The agent's own families in Prometheus text format 0.0.4, values of now. */
  render(): Promise<string>;
}

/** Puts plain measures behind a registry; each of its metrics reads its measure when it is rendered. */
export function createExposition(families: readonly MetricFamily[]): Exposition {
  const registry = new Registry();
  for (const family of families) {
    if (family.kind !== "histogram") registry.registerMetric(measured(family.kind, family, family.measure));
  }
  return {
    async render() {
      const histograms = families.map((family) => {
        return family.kind === "histogram" ? renderHistogram(family, family.measure) : "";
      });
      return `${await registry.metrics()}${histograms.join("")}`;
    },
  };
}

function measured(kind: "counter" | "gauge", { name, help }: MetricName, measure: ComputedMeasure): Counter | Gauge {
  const options = { name, help, labelNames: [...measure.labelNames], registers: [] };
  if (kind === "gauge") {
    const metric: Gauge = new Gauge({
      ...options,
      collect() {
        metric.reset();
        for (const sample of measure.samples()) metric.set(labelled(measure, sample), sample.value);
      },
    });
    return metric;
  }
  const metric: Counter = new Counter({
    ...options,
    collect() {
      metric.reset();
      for (const sample of measure.samples()) metric.inc(labelled(measure, sample), sample.value);
    },
  });
  return metric;
}

function labelled(measure: ComputedMeasure, sample: Sample): Record<string, string> {
  return Object.fromEntries(measure.labelNames.map((name, index) => [name, sample.labels[index] ?? ""]));
}

/** Written here, because the library's histograms can only be observed, not given their counts. */
function renderHistogram({ name, help }: MetricName, measure: DurationMeasure): string {
  const { counts, sum, count } = measure.snapshot();
  const lines = [`# HELP ${name} ${help}`, `# TYPE ${name} histogram`];
  let total = 0;
  for (const [index, bound] of measure.bucketBounds.entries()) {
    total += counts[index] ?? 0;
    lines.push(`${name}_bucket{le="${String(bound)}"} ${String(total)}`);
  }
  lines.push(`${name}_bucket{le="+Inf"} ${String(count)}`);
  lines.push(`${name}_sum ${String(sum)}`, `${name}_count ${String(count)}`);
  return `${lines.join("\n")}\n`;
}
