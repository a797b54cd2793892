// SPDX-License-Identifier: Apache-2.0

const marksPercent = [10, 25, 50] as const;

/**
 * The lowest mark that a certificate's remaining life is at or below, in percent of the whole; undefined above all.
 * @param nowMs wall clock
 */
export function lifeAlarm(
  { notBeforeMs, notAfterMs }: { readonly notBeforeMs: number; readonly notAfterMs: number },
  nowMs: number,
): number | undefined {
  const leftPercent = (100 * (notAfterMs - nowMs)) / Math.max(1, notAfterMs - notBeforeMs);
  return marksPercent.find((mark) => leftPercent <= mark);
}
