// SPDX-License-Identifier: Apache-2.0
import Counter from "prom-client/lib/counter.js";
import Gauge from "prom-client/lib/gauge.js";
import Histogram from "prom-client/lib/histogram.js";
import Registry from "prom-client/lib/registry.js";
import type { Pace } from "../lib/async/pace.ts";
import type { Histogram as CountedHistogram, Sample } from "../lib/metrics.ts";
import type { Metric } from "./agent-metrics.ts";
import type { ComputedMetric } from "./computed-metrics.ts";

/** Registers metrics, whose values are read whenever the registry writes its text. */
export function createRegistry(metrics: readonly Metric[]): Registry {
  const registry = new Registry();
  for (const metric of metrics) registry.registerMetric(registered(metric));
  return registry;
}

/** The text of all metrics, metric by metric, so that no step takes long. */
export async function renderMetrics(registry: Registry, pace: Pick<Pace, "begin" | "pause">): Promise<string> {
  const texts: string[] = [];
  await pace.begin();
  for (const { name } of registry.getMetricsAsArray()) {
    texts.push(await registry.getSingleMetricAsString(name));
    await pace.pause();
  }
  return `${texts.join("\n\n")}\n`;
}

/** For one scrape: whether each target's metrics are in it. */
export const targetUp = {
  name: "istio_agent_target_up",
  help: "1 when the target's metrics are in this scrape whole, else 0.",
  labelNames: ["target"],
} as const;

/** @param up by target */
export async function renderTargetUp(up: ReadonlyMap<string, boolean>): Promise<string> {
  if (up.size === 0) return "";
  const registry = new Registry();
  const gauge = new Gauge({ ...targetUp, registers: [registry] });
  for (const [target, whole] of up) gauge.set({ target }, whole ? 1 : 0);
  return await registry.metrics();
}

function registered(metric: Metric): Counter | Gauge | Histogram {
  if (metric.kind === "histogram") return new ReadHistogram(metric);
  const { name, help, labelNames } = metric;
  const options = { name, help, labelNames, registers: [] };
  if (metric.kind === "gauge") {
    return new Gauge({
      ...options,
      collect() {
        this.reset();
        for (const sample of metric.samples()) this.set(labelsOf(metric, sample), sample.value);
      },
    });
  }
  return new Counter({
    ...options,
    collect() {
      this.reset();
      for (const sample of metric.samples()) this.inc(labelsOf(metric, sample), sample.value);
    },
  });
}

function labelsOf({ labelNames }: Pick<ComputedMetric, "labelNames">, { labels }: Sample): Record<string, string> {
  return Object.fromEntries(labelNames.map((name, index) => [name, labels[index] ?? ""]));
}

/** prom-client's histogram with the counts of another one: its own can only be observed, not set. */
class ReadHistogram extends Histogram {
  readonly #source: CountedHistogram;

  constructor(source: CountedHistogram) {
    const { name, help, buckets } = source;
    super({ name, help, buckets: [...buckets], registers: [] });
    this.#source = source;
  }

  override async getForPromString() {
    const { name, buckets } = this.#source;
    const { counts, sum, count } = this.#source.snapshot();
    let total = 0;
    const bounded = buckets.map((le, index) => {
      total += counts[index] ?? 0;
      return sample(`${name}_bucket`, total, { le });
    });
    const infinite = sample(`${name}_bucket`, count, { le: "+Inf" });
    const values = [...bounded, infinite, sample(`${name}_sum`, sum), sample(`${name}_count`, count)];
    return { ...(await super.getForPromString()), values };
  }
}

function sample(metricName: string, value: number, labels: Readonly<Record<string, string | number>> = {}) {
  return { metricName, labels, sharedLabels: {}, value };
}
