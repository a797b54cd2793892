// SPDX-License-Identifier: Apache-2.0

/** Thresholds of the remaining lifetime at which a certificate without a successor is reported, in percent. */
const thresholdsPercent = [10, 25, 50] as const;

export interface Lifetime {
  /** When the certificate was received, or its notBefore where that is later. */
  readonly startMs: number;
  readonly notAfterMs: number;
}

/**
 * The lowest threshold that a certificate's remaining lifetime is at or below, in percent of the lifetime that it had
 * when it was received; undefined above all of them.
 * @param nowMs wall clock
 */
export function remainingLifetimeThreshold({ startMs, notAfterMs }: Lifetime, nowMs: number): number | undefined {
  const leftPercent = (100 * (notAfterMs - nowMs)) / Math.max(1, notAfterMs - startMs);
  return thresholdsPercent.find((threshold) => leftPercent <= threshold);
}
