// SPDX-License-Identifier: Apache-2.0

const unitMs: Readonly<Record<string, number>> = {
  ns: 1e-6,
  us: 1e-3,
  µs: 1e-3,
  μs: 1e-3,
  ms: 1,
  s: 1_000,
  m: 60_000,
  h: 3_600_000,
};

/**
 * Reads a duration in Go's notation: `300ms`, `1h30m`, `-1.5s`, `0`.
 * @returns milliseconds, with fractions down to nanoseconds; undefined when the text is not a duration
 * Source: the grammar of the variables in Istio's reference, `SECRET_TTL=24h`
 */
export function parseGoDuration(text: string): number | undefined {
  const parts = /^[+-]/.test(text) ? text.slice(1) : text;
  if (parts === "") return undefined;
  let totalMs = 0;
  // One part after the other: an expression for all of them would take exponential time for a text that does not fit.
  const next = /(\d+(?:\.\d*)?|\.\d+)(ns|us|µs|μs|ms|s|m|h)/y;
  while (parts !== "0" && next.lastIndex < parts.length) {
    const [, number, unit = ""] = next.exec(parts) ?? [];
    if (number === undefined) return undefined;
    totalMs += Number(number) * (unitMs[unit] ?? Number.NaN);
  }
  return text.startsWith("-") ? -totalMs : totalMs;
}
