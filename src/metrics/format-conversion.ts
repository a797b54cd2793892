// SPDX-License-Identifier: Apache-2.0
import { mapLabels, parseSample } from "./metric-text.ts";

/** A TYPE line. */
export interface FamilyDeclaration {
  readonly family: string;
  readonly type: string;
}

/**
 * Converts a family of the text format to OpenMetrics. There, a counter's samples must end in `_total`; a counter whose
 * samples do not gets the type `unknown`, because a new name would break every dashboard that uses the old one.
 * Source: OpenMetrics 1.0, section on counters
 */
export function openMetricsFamily(family: string, type: string): FamilyDeclaration {
  if (type === "counter" && family.endsWith("_total")) return { family: family.slice(0, -"_total".length), type };
  return { family, type: type === "counter" || type === "untyped" ? "unknown" : type };
}

/** Converts a family of OpenMetrics to the text format, where the TYPE line has the name of the samples. */
export function textFamily(family: string, type: string): FamilyDeclaration {
  switch (type) {
    case "counter":
      return { family: `${family}_total`, type };
    case "info":
      return { family: `${family}_info`, type: "gauge" };
    case "stateset":
      return { family, type: "gauge" };
    case "gauge":
    case "histogram":
    case "summary":
      return { family, type };
    default:
      return { family, type: "untyped" };
  }
}

/**
 * Converts sample lines of the text format to OpenMetrics: no empty lines, and floats in `le` and `quantile`.
 * @param type of their family
 * @returns undefined when nothing changes
 */
export function openMetricsSamples(lines: Buffer, type: string): Buffer | undefined {
  const hasEmpty = lines[0] === 0x0a || lines.includes("\n\n");
  const hasBounds = type === "histogram" || type === "summary";
  if (!hasEmpty && !hasBounds) return undefined;
  const kept = lines
    .toString("utf8")
    .split("\n")
    .filter((line, index, all) => line.trim() !== "" || index === all.length - 1);
  return Buffer.from((hasBounds ? kept.map(withFloatBounds) : kept).join("\n"));
}

function withFloatBounds(line: string): string {
  return mapLabels(line, (name, value) => (name === "le" || name === "quantile" ? canonicalFloat(value) : value));
}

/** Converts sample lines of OpenMetrics to the text format: no exemplars, and timestamps in milliseconds. */
export function textSamples(lines: Buffer): Buffer {
  const converted = lines
    .toString("utf8")
    .split("\n")
    .map((line) => {
      const sample = parseSample(line);
      if (sample === undefined) return line;
      const { series, value, timestamp } = sample;
      const time = timestamp === undefined ? "" : ` ${String(Math.round(Number(timestamp) * 1_000))}`;
      return `${series} ${value}${time}`;
    });
  return Buffer.from(converted.join("\n"));
}

/**
 * A number as OpenMetrics writes bucket bounds: always a float, from a million on with an exponent.
 * Source: OpenMetrics 1.0, canonical numbers; Go's strconv with the format g
 */
export function canonicalFloat(text: string): string {
  const value = Number(text);
  if (text === "" || Number.isNaN(value)) return text;
  if (!Number.isFinite(value)) return value > 0 ? "+Inf" : "-Inf";
  const magnitude = Math.abs(value);
  if (magnitude >= 1e6 || (magnitude !== 0 && magnitude < 1e-4)) {
    const [mantissa = "", exponent = "0"] = value.toExponential().split("e");
    const sign = exponent.startsWith("-") ? "-" : "+";
    return `${mantissa}e${sign}${exponent.replace(/^[+-]/, "").padStart(2, "0")}`;
  }
  const plain = String(value);
  return plain.includes(".") ? plain : `${plain}.0`;
}
