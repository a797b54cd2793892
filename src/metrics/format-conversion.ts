// SPDX-License-Identifier: Apache-2.0
import { isUtf8 } from "node:buffer";
import { type NameEscaping, renderLabelName, renderMetricName } from "./metric-name.ts";
import { type Exemplar, mapLabels, parseSample, type SampleLabel, type SampleLine } from "./metric-text.ts";
import type { ScrapeFormat } from "./negotiation.ts";
import { plainLinesPattern } from "./plain-lines.ts";

/** A TYPE line. */
export interface FamilyDeclaration {
  readonly family: string;
  readonly type: string;
}

export interface PartFormats {
  /** Of the part. */
  readonly from: ScrapeFormat["kind"];
  /** Of the response. */
  readonly to: ScrapeFormat["kind"];
  /** Of the response. */
  readonly names: NameEscaping;
  /** Whether a family is declared in each part that has it: they are grouped later. */
  readonly isGrouped?: boolean;
}

const openMetricsTypes: ReadonlySet<string> = new Set([
  ...["counter", "gauge", "histogram", "gaugehistogram", "stateset", "info", "summary"],
]);

/** The declaration of a family in the format of the response; its name is not escaped yet. */
export function convertedFamily(family: string, givenType: string, { from, to }: PartFormats): FamilyDeclaration {
  const type = givenType.toLowerCase();
  if (from === to) {
    const isKnown = to === "openmetrics" ? openMetricsTypes.has(type) : textTypes.has(type);
    return { family, type: isKnown ? type : to === "openmetrics" ? "unknown" : "untyped" };
  }
  return to === "openmetrics" ? openMetricsFamily(family, type) : textFamily(family, type);
}

/**
 * Converts a family of the text format to OpenMetrics. There, a counter's samples must end in `_total`; a counter whose
 * samples do not gets the type `unknown`, because a new name would break every dashboard that uses the old one.
 * Source: OpenMetrics 1.0, section on counters
 */
function openMetricsFamily(family: string, type: string): FamilyDeclaration {
  if (type === "counter" && family.endsWith("_total")) return { family: family.slice(0, -"_total".length), type };
  return { family, type: type === "counter" || !openMetricsTypes.has(type) ? "unknown" : type };
}

const textTypes: ReadonlySet<string> = new Set(["counter", "gauge", "histogram", "summary", "untyped"]);

/** Converts a family of OpenMetrics to the text format, where the TYPE line has the name of the samples. */
function textFamily(family: string, type: string): FamilyDeclaration {
  switch (type) {
    case "counter":
      return { family: family.endsWith("_total") ? family : `${family}_total`, type };
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

/** A HELP text: in the text format only `\\` and `\n` are escapes. */
export function convertedHelp(text: string, { to }: PartFormats): string {
  if (to === "openmetrics" || !text.includes("\\")) return text;
  return text.replace(/\\(.?)/g, (escape, char: string) => {
    if (char === "\\" || char === "n") return escape;
    return char === '"' ? char : `\\\\${char}`;
  });
}

/** Sample lines, each with its line break, in the format of the response. */
export interface ConvertedSamples {
  /** Undefined when nothing changes. */
  readonly lines: Buffer | undefined;
  /** Lines that are not samples, and left out: one of them would make the response unreadable. */
  readonly invalid: number;
}

/** Converts the sample lines of an application. Lines in their plainest form stay as they are. @param type of their family */
export function convertedSamples(given: Buffer, type: string, formats: PartFormats): ConvertedSamples {
  const lines = isUtf8(given) ? given : Buffer.from(given.toString("utf8"));
  // a string of single bytes costs a copy: the engine reads it faster than this code would read bytes
  const text = lines.toString("latin1");
  const plain = plainLines(formats);
  const pieces: Buffer[] = [];
  /** Where the current run of unchanged lines begins. */
  let run = 0;
  let invalid = 0;
  for (let at = 0; at < lines.length; ) {
    plain.lastIndex = at;
    if (plain.test(text)) {
      at = plain.lastIndex;
      continue;
    }
    const end = lines.indexOf(0x0a, at) + 1;
    const line = lines.toString("utf8", at, end - 1);
    const converted = convertedLine(line, type, formats);
    if (converted === undefined) invalid++;
    // OpenMetrics has no empty lines
    const isLeftOut = converted === undefined || (converted === "" && formats.to === "openmetrics");
    if (isLeftOut || converted !== line) {
      pieces.push(lines.subarray(run, at), Buffer.from(isLeftOut ? "" : `${converted}\n`));
      run = end;
    }
    at = end;
  }
  if (run === 0 && lines === given) return { lines: undefined, invalid };
  return { lines: Buffer.concat([...pieces, lines.subarray(run)]), invalid };
}

const textLines = plainLinesPattern({ timestamps: "milliseconds", emptyLines: true });
const openMetricsLines = plainLinesPattern({ timestamps: "seconds", emptyLines: false });
const linesToConvert = plainLinesPattern({ timestamps: "none", emptyLines: false });

function plainLines({ from, to }: PartFormats): RegExp {
  if (from !== to) return linesToConvert;
  return to === "text" ? textLines : openMetricsLines;
}

/** Undefined for what is no sample. */
function convertedLine(line: string, type: string, formats: PartFormats): string | undefined {
  if (line.trim() === "") return "";
  const sample = parseSample(line);
  const value = sample === undefined ? undefined : canonicalValue(sample.value);
  if (sample === undefined || value === undefined) return undefined;
  const time = convertedTimestamp(sample.timestamp, formats);
  return `${renderSeries(sample, formats.names)} ${value}${time}${exemplarOf(sample, type, formats)}`;
}

function renderSeries({ name, labels }: SampleLine, names: NameEscaping): string {
  const written = renderMetricName(name, names);
  if (!written.startsWith('"')) return labels.length === 0 ? written : `${written}{${renderLabels(labels, names)}}`;
  return labels.length === 0 ? `{${written}}` : `{${written},${renderLabels(labels, names)}}`;
}

function renderLabels(labels: readonly SampleLabel[], names: NameEscaping): string {
  return Array.from(writtenLabels(labels, names), ([name, value]) => `${name}="${value}"`).join(",");
}

/**
 * The names and values of labels as they are written. A name is unique in its sample: labels whose escaped names are
 * equal become one, with all their values.
 * Source: OpenTelemetry, Prometheus and OpenMetrics compatibility, section on metric attributes
 */
function writtenLabels(labels: readonly SampleLabel[], names: NameEscaping): ReadonlyMap<string, string> {
  const written = new Map<string, string>();
  for (const label of labels) {
    const name = renderLabelName(label.name, names);
    const value = validEscapes(label.value);
    const other = written.get(name);
    written.set(name, other === undefined ? value : `${other};${value}`);
  }
  return written;
}

/** Escapes that no parser knows become their characters. */
function validEscapes(value: string): string {
  return value.includes("\\")
    ? value.replace(/\\(.)/g, (escape, char: string) => (/[\\"n]/.test(char) ? escape : `\\\\${char}`))
    : value;
}

/** Of all names and values of an exemplar, in characters: a parser rejects a longer one. Source: OpenMetrics 1.0, exemplars */
const maxExemplarLength = 128;

function isTooLong({ labels }: Exemplar, names: NameEscaping): boolean {
  const text = Array.from(writtenLabels(labels, names), ([name, value]) => `${name}${value.replace(/\\./g, "_")}`);
  return Array.from(text.join("")).length > maxExemplarLength;
}

/** Only OpenMetrics has exemplars, of counters and buckets. Source: OpenMetrics 1.0, section on exemplars */
function exemplarOf({ name, exemplar }: SampleLine, type: string, { from, to, names }: PartFormats): string {
  const isAllowed = from === to && to === "openmetrics" && name.endsWith(type === "counter" ? "_total" : "_bucket");
  const value = exemplar === undefined ? undefined : canonicalValue(exemplar.value);
  if (exemplar === undefined || value === undefined || !isAllowed || isTooLong(exemplar, names)) return "";
  const time = Number.isFinite(Number(exemplar.timestamp)) ? ` ${exemplar.timestamp ?? ""}` : "";
  return ` # {${renderLabels(exemplar.labels, names)}} ${value}${time}`;
}

/** Seconds with a fraction in OpenMetrics, milliseconds without one in text. One that is no number is left out. */
function convertedTimestamp(timestamp: string | undefined, { from, to }: PartFormats): string {
  const time = Number(timestamp);
  if (timestamp === undefined || !Number.isFinite(time)) return "";
  if (from === to) return to === "openmetrics" || Number.isInteger(time) ? ` ${timestamp}` : "";
  return to === "openmetrics" ? ` ${String(time / 1_000)}` : ` ${String(Math.round(time * 1_000))}`;
}

/** A value as each parser reads it; undefined for what is no number. */
function canonicalValue(text: string): string | undefined {
  if (/^[+-]?nan$/i.test(text)) return "NaN";
  if (/^[+-]?inf(?:inity)?$/i.test(text)) return text.startsWith("-") ? "-Inf" : "+Inf";
  const value = Number(text);
  if (Number.isNaN(value)) return undefined;
  return /^[+-]?[\d.]+(?:[eE][+-]?\d+)?$/.test(text) ? text : String(value);
}

/**
 * Converts sample lines of the text format to OpenMetrics, of Envoy and the agent: no empty lines, and floats in `le` and
 * `quantile`.
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
