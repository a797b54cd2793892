// SPDX-License-Identifier: Apache-2.0

/** The text without this character at its end. In one pass, unlike a regular expression that ends with `+$`. */
export function trimTrailing(text: string, character: string): string {
  let end = text.length;
  while (end > 0 && text[end - 1] === character) end--;
  return text.slice(0, end);
}

/** The lines of a text as one: each break, with the white space and empty lines around it, becomes one space. */
export function oneLine(text: string): string {
  const lines = text.split(/[\r\n]/);
  const last = lines.length - 1;
  if (last === 0) return text;
  return lines
    .map((line, index) => (index === 0 ? line.trimEnd() : index === last ? line.trimStart() : line.trim()))
    .filter((line, index) => line !== "" || index === 0 || index === last)
    .join(" ");
}

/** The beginning of a text in UTF-8, with an ellipsis where something is missing. Cuts between characters, never within one. */
export function cutToBytes(text: string, maxBytes: number): string {
  if (Buffer.byteLength(text) <= maxBytes) return text;
  const cut = Buffer.from(text).subarray(0, Math.max(0, maxBytes - 3));
  return `${new TextDecoder("utf-8", { fatal: false }).decode(cut, { stream: true })}…`;
}
