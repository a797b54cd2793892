// SPDX-License-Identifier: Apache-2.0

/** The labels of one series, in the order of the family's label names. */
export type LabelValues = readonly string[];

/** One series as it stands. */
export interface Sample {
  readonly labels: LabelValues;
  readonly value: number;
}

/**
 * Counters and gauges as plain numbers: they cost nothing until a scrape turns them into text.
 * A family without labels has its one series, at 0, from the start.
 */
export class Measure {
  readonly labelNames: readonly string[];
  readonly #series = new Map<string, { labels: LabelValues; value: number }>();

  /** @param initial label values of the series that exist, at 0, before anything was measured */
  constructor(labelNames: readonly string[] = [], initial: readonly LabelValues[] = []) {
    this.labelNames = labelNames;
    if (labelNames.length === 0) this.add(0);
    for (const labels of initial) this.add(0, ...labels);
  }

  add(value: number, ...labels: string[]): void {
    const key = labels.join("\u0000");
    const series = this.#series.get(key);
    if (series === undefined) this.#series.set(key, { labels, value });
    else series.value += value;
  }

  inc(...labels: string[]): void {
    this.add(1, ...labels);
  }

  set(value: number, ...labels: string[]): void {
    this.#series.set(labels.join("\u0000"), { labels, value });
  }

  value(...labels: string[]): number {
    return this.#series.get(labels.join("\u0000"))?.value ?? 0;
  }

  samples(): readonly Sample[] {
    return [...this.#series.values()];
  }
}

/** Durations in buckets, as Prometheus counts them. */
export class DurationMeasure {
  /** In the unit of the measure. */
  readonly bucketBounds: readonly number[];
  readonly #unitMs: number;
  readonly #counts: number[];
  #sum = 0;
  #count = 0;

  /** @param unit seconds, but for names of the reference's that are in milliseconds */
  constructor(bucketBounds: readonly number[], unit: "s" | "ms" = "s") {
    this.bucketBounds = bucketBounds;
    this.#unitMs = unit === "s" ? 1_000 : 1;
    this.#counts = bucketBounds.map(() => 0);
  }

  observeMs(ms: number): void {
    const duration = ms / this.#unitMs;
    this.#sum += duration;
    this.#count++;
    const index = this.bucketBounds.findIndex((bound) => duration <= bound);
    const count = this.#counts[index];
    if (count !== undefined) this.#counts[index] = count + 1;
  }

  /** Observations per bucket, not added up; those above the last bound are only in `count`. */
  snapshot(): { readonly counts: readonly number[]; readonly sum: number; readonly count: number } {
    return { counts: [...this.#counts], sum: this.#sum, count: this.#count };
  }
}
