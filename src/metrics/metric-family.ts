// SPDX-License-Identifier: Apache-2.0
import type { DurationMeasure, Measure, Sample } from "../lib/measures.ts";
import type { MetricName } from "./names.ts";

/** One family as the exposition writes it. What measures it belongs to the module that counts. */
export type MetricFamily = MetricName &
  (
    | { readonly kind: "counter" | "gauge"; readonly measure: Measure | ComputedMeasure }
    | { readonly kind: "histogram"; readonly measure: DurationMeasure }
  );

/** Something whose value is known only when it is asked for. */
export interface ComputedMeasure {
  readonly labelNames: readonly string[];
  samples(): readonly Sample[];
}
