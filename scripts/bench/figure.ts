// SPDX-License-Identifier: Apache-2.0
import type { Comparison } from "./comparison.ts";

export { median } from "./comparison.ts";

/** One measured number. */
export interface Figure {
  readonly name: string;
  readonly value: number;
  readonly unit: string;
  /** What the number must not exceed. */
  readonly limit?: number;
}

/** A number, or samples beside those of a reference and a peer. */
export type Row = Figure | Comparison;

/** What a file `scripts/bench/<name>.bench.ts` exports. */
export interface Bench {
  readonly name: string;
  /** Runs only when it is named: it needs more than 15 minutes with the others, or rights that few have. */
  readonly onlyNamed?: boolean;
  /** @throws LoadError when its load was less than it says */
  run(): Promise<readonly Row[]>;
}
