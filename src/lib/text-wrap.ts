// SPDX-License-Identifier: Apache-2.0

/**
 * Breaks a text into lines at its spaces. A word that is longer than a line is broken too, so that no line is longer.
 * @param columns at least 1
 */
export function wrapText(text: string, columns: number): readonly string[] {
  const width = Math.max(1, columns);
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ").flatMap((one) => pieces(one, width))) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line];
}

function pieces(word: string, width: number): readonly string[] {
  if (word.length <= width) return [word];
  return Array.from({ length: Math.ceil(word.length / width) }, (_, i) => word.slice(i * width, (i + 1) * width));
}

/** A text after a label, with further lines below its beginning. @param columns of the whole */
export function hangingLines(label: string, text: string, columns: number): string {
  const indent = " ".repeat(label.length);
  const lines = wrapText(text, Math.max(20, columns - label.length));
  return lines.map((line, index) => `${index === 0 ? label : indent}${line}`.trimEnd()).join("\n");
}
