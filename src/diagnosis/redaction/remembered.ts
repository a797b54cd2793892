// SPDX-License-Identifier: Apache-2.0

const mostTexts = 20_000;
const longestText = 300;

/** Keeps the results for short texts: a dump repeats the same names a million times. */
export function remembered<T>(compute: (text: string) => T): (text: string) => T {
  const results = new Map<string, T>();
  return (text) => {
    const known = results.get(text);
    if (known !== undefined) return known;
    const result = compute(text);
    if (text.length <= longestText) {
      if (results.size >= mostTexts) results.clear();
      results.set(text, result);
    }
    return result;
  };
}
