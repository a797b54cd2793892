// SPDX-License-Identifier: Apache-2.0

const units = [
  { name: "d", seconds: 86_400 },
  { name: "h", seconds: 3_600 },
  { name: "min", seconds: 60 },
  { name: "s", seconds: 1 },
] as const;

/** A duration for a person in its two largest units, such as `3 d 4 h`; `0 s` below a second. */
export function formatSpan(ms: number): string {
  const seconds = Math.floor(Math.abs(ms) / 1_000);
  const first = units.findIndex((unit) => seconds >= unit.seconds);
  if (first < 0) return "0 s";
  let rest = seconds;
  const parts: string[] = [];
  for (const unit of units.slice(first, first + 2)) {
    const count = Math.floor(rest / unit.seconds);
    rest -= count * unit.seconds;
    if (count > 0) parts.push(`${String(count)} ${unit.name}`);
  }
  return parts.join(" ");
}

/** What changes in a text as time passes: `3 min ago`, `just now`, `in 2 h`. For comparison only. */
export function withoutMoments(text: string): string {
  return text.replaceAll(
    /\bjust now\b|\b(?:\d+ (?:d|h|min|s) )+ago\b|\bin \d+ (?:d|h|min|s)\b(?: \d+ (?:h|min|s)\b)?/g,
    "",
  );
}

/** A moment that should come; one that has passed is `now`. */
export function formatDue(atMs: number, nowMs: number): string {
  return formatMoment(Math.max(atMs, nowMs), nowMs);
}

/** A moment beside the present one: `3 min ago`, `in 2 h`, `now`. Both in milliseconds since the epoch. */
export function formatMoment(atMs: number, nowMs: number): string {
  if (Math.abs(atMs - nowMs) < 1_000) return "now";
  return atMs < nowMs ? `${formatSpan(nowMs - atMs)} ago` : `in ${formatSpan(atMs - nowMs)}`;
}
