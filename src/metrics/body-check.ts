// SPDX-License-Identifier: Apache-2.0

const sample = /^[a-zA-Z_:][a-zA-Z0-9_:]*(?:\{|[ \t])|^\{[ \t]*"(?:[^"\\]|\\.)*"[ \t]*[,}]/;

/**
 * Whether a body can be metrics, told from its first line that is neither empty nor a comment. A login page or a JSON
 * error that came with status 200 would make the whole answer unreadable.
 * @param text the beginning of the body, or all of it
 * Source: Prometheus' text format and OpenMetrics; names in quotes as of Prometheus 3
 */
export function looksLikeMetrics(text: string): boolean {
  for (const line of text.split("\n", 200)) {
    const content = line.trim();
    if (content !== "" && !content.startsWith("#")) return sample.test(content);
  }
  return true;
}
