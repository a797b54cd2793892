// SPDX-License-Identifier: Apache-2.0

/** The name that a misspelt one most likely means: letter case aside, at most a third of its letters differ. */
export function nearestName(text: string, names: Iterable<string>): string | undefined {
  const wanted = text.toLowerCase();
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(wanted.length / 3)) + 1;
  for (const name of names) {
    const distance = editDistance(wanted, name.toLowerCase());
    if (distance < bestDistance) {
      best = name;
      bestDistance = distance;
    }
  }
  return best;
}

/** Differences between a name and its misspelling: two in a long name, one in another. */
const longName = 16;
const shortestName = 6;

/** The name that a text is a misspelling of, where most texts are other names: one or two letters differ. */
export function closeName(text: string, names: Iterable<string>): string | undefined {
  const most = text.length < longName ? 1 : 2;
  if (text.length < shortestName) return undefined;
  for (const name of names) {
    if (Math.abs(name.length - text.length) <= most && editDistance(text, name) <= most) return name;
  }
  return undefined;
}

/** `(did you mean X?)` with a space before it, or nothing. */
export function suggestion(text: string, names: Iterable<string>, prefix = ""): string {
  const name = nearestName(text, names);
  return name === undefined ? "" : ` (did you mean ${prefix}${name}?)`;
}

/** Letters to insert, delete or replace, a swap of two neighbours counting once. */
function editDistance(a: string, b: string): number {
  let beforeLast: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min((last[j] ?? 0) + 1, (row[j - 1] ?? 0) + 1, (last[j - 1] ?? 0) + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1]) {
        cost = Math.min(cost, (beforeLast[j - 2] ?? 0) + 1);
      }
      row.push(cost);
    }
    beforeLast = last;
    last = row;
  }
  return last[b.length] ?? 0;
}
