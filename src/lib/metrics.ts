// SPDX-License-Identifier: Apache-2.0

/** The label values of one series, in the order of the metric's label names. */
export type LabelValues = readonly string[];

/** One series and its value. */
export interface Sample {
  readonly labels: LabelValues;
  readonly value: number;
}

interface MetricOptions {
  readonly name: string;
  /** One sentence for the reader of a scrape. */
  readonly help: string;
}

interface SeriesOptions extends MetricOptions {
  readonly labelNames?: readonly string[] | undefined;
  /** Series that exist from the start, at 0. A metric without labels always has its one series. */
  readonly initial?: readonly LabelValues[] | undefined;
}

/** The series of a counter or gauge: plain numbers, which cost nothing until a scrape reads them. */
class SeriesMetric {
  readonly name: string;
  readonly help: string;
  readonly labelNames: readonly string[];
  readonly #series = new Map<string, { labels: LabelValues; value: number }>();

  constructor({ name, help, labelNames = [], initial = [] }: SeriesOptions) {
    this.name = name;
    this.help = help;
    this.labelNames = labelNames;
    if (labelNames.length === 0) this.change([], 0);
    for (const labels of initial) this.change(labels, 0);
  }

  /** The value of one series; 0 for a series that does not exist. */
  value(...labels: string[]): number {
    return this.#series.get(keyOf(labels))?.value ?? 0;
  }

  samples(): readonly Sample[] {
    return [...this.#series.values()];
  }

  protected change(labels: LabelValues, difference: number): void {
    const key = keyOf(labels);
    const series = this.#series.get(key);
    if (series === undefined) this.#series.set(key, { labels, value: difference });
    else series.value += difference;
  }

  protected replace(labels: LabelValues, value: number): void {
    this.#series.set(keyOf(labels), { labels, value });
  }
}

/** A number that only grows. */
export class Counter extends SeriesMetric {
  readonly kind = "counter";

  inc(...labels: string[]): void {
    this.change(labels, 1);
  }

  add(amount: number, ...labels: string[]): void {
    this.change(labels, amount);
  }
}

/** A number that grows and shrinks. */
export class Gauge extends SeriesMetric {
  readonly kind = "gauge";

  set(value: number, ...labels: string[]): void {
    this.replace(labels, value);
  }

  inc(...labels: string[]): void {
    this.change(labels, 1);
  }

  dec(...labels: string[]): void {
    this.change(labels, -1);
  }
}

/** Observations counted in buckets. */
export class Histogram {
  readonly kind = "histogram";
  readonly name: string;
  readonly help: string;
  /** Upper bounds, ascending, in the unit that the name states. */
  readonly buckets: readonly number[];
  readonly #counts: number[];
  #sum = 0;
  #count = 0;

  constructor({ name, help, buckets }: MetricOptions & { readonly buckets: readonly number[] }) {
    this.name = name;
    this.help = help;
    this.buckets = buckets;
    this.#counts = buckets.map(() => 0);
  }

  observe(value: number): void {
    this.#sum += value;
    this.#count++;
    const index = this.buckets.findIndex((bound) => value <= bound);
    const count = this.#counts[index];
    if (count !== undefined) this.#counts[index] = count + 1;
  }

  /** `counts` has the observations of each bucket alone; those above the last bound are only in `count`. */
  snapshot(): { readonly counts: readonly number[]; readonly sum: number; readonly count: number } {
    return { counts: [...this.#counts], sum: this.#sum, count: this.#count };
  }
}

function keyOf(labels: LabelValues): string {
  return labels.join("\u0000");
}
