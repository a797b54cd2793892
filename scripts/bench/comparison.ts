// SPDX-License-Identifier: Apache-2.0
// Samples of the agent beside those of what it is compared with, taken in rounds, and what is said about them.

/** The agent; what no agent can be better than, such as a bare process of its runtime; another agent with the same inputs. */
export type Subject = "attache" | "reference" | "peer";

/** What the median of the ratios, pair by pair, must hold. */
export type Bound = { readonly atMost: number } | { readonly atLeast: number };

/** One row of a suite: samples of each subject, in the order of the rounds. */
export interface Comparison {
  readonly name: string;
  readonly unit: string;
  readonly samples: { readonly [subject in Subject]?: readonly number[] };
  /** Of a row that is one of a curve: what grows, how much of it there is, and what is measured. */
  readonly point?: { readonly along: string; readonly at: number; readonly figure: string };
  /** Bounds of attache's ratio to the other; the peer's counts only when there is one. */
  readonly limits?: { readonly reference?: Bound; readonly peer?: Bound };
}

export interface Summary {
  readonly min: number;
  readonly median: number;
  readonly max: number;
}

export interface Ratio {
  /** The median of attache's sample divided by the other's, round by round. */
  readonly median: number;
  readonly bound?: Bound;
  readonly within?: boolean;
}

/** A row with all that is derived from it, as it stands in the JSON. */
export interface SummarizedComparison extends Comparison {
  readonly summaries: { readonly [subject in Subject]?: Summary };
  readonly ratios: { readonly reference?: Ratio; readonly peer?: Ratio };
}

export function summarize(comparison: Comparison): SummarizedComparison {
  const { samples, limits = {} } = comparison;
  const summaryOf = (values: readonly number[] | undefined): Summary | undefined =>
    values === undefined || values.length === 0
      ? undefined
      : { min: Math.min(...values), median: median(values), max: Math.max(...values) };
  const summaries = {
    attache: summaryOf(samples.attache),
    reference: summaryOf(samples.reference),
    peer: summaryOf(samples.peer),
  };
  const ratios = {
    reference: ratioOf(samples.attache, samples.reference, limits.reference),
    peer: ratioOf(samples.attache, samples.peer, limits.peer),
  };
  return { ...comparison, summaries: defined(summaries), ratios: defined(ratios) };
}

/** @returns undefined unless both have samples */
export function ratioOf(
  attache: readonly number[] = [],
  other: readonly number[] = [],
  bound?: Bound,
): Ratio | undefined {
  const pairs = attache.flatMap((value, round) => {
    const beside = other[round];
    return beside === undefined ? [] : [value / beside];
  });
  if (pairs.length === 0) return undefined;
  const ratio = median(pairs);
  return bound === undefined ? { median: ratio } : { median: ratio, bound, within: holds(ratio, bound) };
}

/** Not a number holds nothing. */
export function holds(value: number, bound: Bound): boolean {
  return "atMost" in bound ? value <= bound.atMost : value >= bound.atLeast;
}

/** Whether a limit of the row is exceeded. */
export function isOver({ ratios }: SummarizedComparison): boolean {
  return ratios.reference?.within === false || ratios.peer?.within === false;
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const upper = sorted[middle] ?? Number.NaN;
  return sorted.length % 2 === 1 ? upper : (upper + (sorted[middle - 1] ?? Number.NaN)) / 2;
}

function defined<T extends object>(values: T): { [name in keyof T]?: Exclude<T[name], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [name in keyof T]?: Exclude<T[name], undefined>;
  };
}
