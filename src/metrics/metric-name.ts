// SPDX-License-Identifier: Apache-2.0

/**
 * How names are written that have other characters than letters, digits, `_` and `:`. Only `allow-utf-8` keeps them, in
 * quotes.
 * Source: Prometheus, escaping schemes
 */
export type NameEscaping = "allow-utf-8" | "underscores" | "dots" | "values";

const escapings: readonly NameEscaping[] = ["allow-utf-8", "underscores", "dots", "values"];

/** @returns undefined for an unknown scheme */
export function parseNameEscaping(text: string | undefined): NameEscaping | undefined {
  return escapings.find((escaping) => escaping === text);
}

/** What a sample has after the name of its family. */
const suffixes = ["_total", "_created", "_bucket", "_sum", "_count", "_gsum", "_gcount", "_info"];

/** The name of a family or sample as it is written. An escaped name keeps its suffix: a counter ends in `_total`. */
export function renderMetricName(name: string, escaping: NameEscaping): string {
  if (isPlainMetricName(name)) return name;
  if (escaping === "allow-utf-8") return quoted(name);
  const suffix = suffixes.find((end) => name.endsWith(end)) ?? "";
  return `${escapedName(name.slice(0, name.length - suffix.length), escaping)}${suffix}`;
}

/** The name of a label as it is written: without a colon, and not with two underscores at its start, which are reserved. */
export function renderLabelName(name: string, escaping: NameEscaping): string {
  if (/^[a-zA-Z_]\w*$/.test(name)) return name;
  return escaping === "allow-utf-8"
    ? quoted(name)
    : escapedName(name, escaping)
        .replaceAll(":", "_")
        .replace(/^_{2,}/, "_");
}

function isPlainMetricName(name: string): boolean {
  return /^[a-zA-Z_:][\w:]*$/.test(name);
}

function quoted(name: string): string {
  return `"${name.replaceAll("\\", "\\\\").replaceAll('"', '\\"').replaceAll("\n", "\\n")}"`;
}

function escapedName(name: string, escaping: Exclude<NameEscaping, "allow-utf-8">): string {
  let escaped = escaping === "values" ? "U__" : "";
  for (const [index, char] of Array.from(name).entries()) {
    const isPlain = /[a-zA-Z_:]/.test(char) || (/\d/.test(char) && (index > 0 || escaping === "values"));
    if (escaping === "underscores") escaped += isPlain ? char : "_";
    else if (char === "_") escaped += "__";
    else if (isPlain) escaped += char;
    else if (escaping === "values") escaped += `_${(char.codePointAt(0) ?? 0).toString(16).toUpperCase()}_`;
    else escaped += char === "." ? "_dot_" : "__";
  }
  return escaped === "" ? "_" : escaped;
}
