// SPDX-License-Identifier: Apache-2.0

const minuteMs = 60_000;
const hourMs = 60 * minuteMs;
const dayMs = 24 * hourMs;

/** A duration as people say it, in one unit: `45 s`, `12 min`, `3 h`, `2 days`. Rounded; never negative. */
export function durationText(ms: number): string {
  const span = Math.max(0, ms);
  const count = (unitMs: number): string => String(Math.round(span / unitMs));
  if (span < 1.5 * minuteMs) return `${count(1_000)} s`;
  if (span < 1.5 * hourMs) return `${count(minuteMs)} min`;
  if (span < 1.5 * dayMs) return `${count(hourMs)} h`;
  return `${count(dayMs)} days`;
}
