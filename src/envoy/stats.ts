// SPDX-License-Identifier: Apache-2.0

/**
 * Reads the text form of Envoy's `/stats`: `name: value`, one a line. Lines whose value is not a number, such as
 * histograms, are left out; of a name that stands twice the first counts.
 */
export function parseStats(text: string): ReadonlyMap<string, number> {
  const stats = new Map<string, number>();
  for (const line of text.split("\n")) {
    const colon = line.lastIndexOf(": ");
    if (colon <= 0) continue;
    const name = line.slice(0, colon);
    const value = line.slice(colon + 2).trim();
    if (/^-?\d+$/.test(value) && !stats.has(name)) stats.set(name, Number(value));
  }
  return stats;
}
