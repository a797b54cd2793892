// SPDX-License-Identifier: Apache-2.0

/** Letters that RE2 knows after a backslash; the rest of the alphabet is refused. Source: RE2's syntax page */
const escapes = "aAbBCdDfnpPQErsStvwWxz";

/**
 * Why RE2, which Envoy matches names with, would refuse an expression; undefined when nothing speaks against it.
 * Finds what people get wrong, not everything.
 */
export function re2Problem(text: string): string | undefined {
  if (/\(\?(?:[=!]|<[=!])/.test(text)) return "RE2 has no look-ahead and no look-behind";
  const escape = [...text.matchAll(/\\(.?)/gs)].find(([, letter = ""]) => letter === "" || isUnknownEscape(letter));
  if (escape !== undefined) return `RE2 does not know ${escape[0] === "\\" ? "a backslash at the end" : escape[0]}`;
  const count = [...text.matchAll(/\{(\d+)(?:,(\d*))?\}/g)].find(([, least, most]) => Number(most ?? least) > 1_000);
  if (count !== undefined) return `RE2 repeats at most 1000 times, not ${count[0]}`;
  try {
    new RegExp(asJavaScript(text));
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function isUnknownEscape(letter: string): boolean {
  return /[a-zA-Z1-9]/.test(letter) && !escapes.includes(letter);
}

/** What RE2 writes in another way. */
function asJavaScript(text: string): string {
  return text
    .replaceAll(/\(\?[imsU]+(?:-[imsU]+)?\)/g, "")
    .replaceAll(/\(\?[imsU-]*:/g, "(?:")
    .replaceAll("(?P<", "(?<")
    .replaceAll(/\\Q.*?(?:\\E|$)/gs, "");
}
