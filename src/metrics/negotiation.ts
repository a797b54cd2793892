// SPDX-License-Identifier: Apache-2.0

import { type NameEscaping, parseNameEscaping } from "./metric-name.ts";

const openMetrics = "application/openmetrics-text";

/** A text format of metrics. */
export type ScrapeFormat = (
  | { readonly kind: "text" }
  | { readonly kind: "openmetrics"; readonly version: "1.0.0" | "0.0.1" }
) & {
  /** How names are written, where that is declared. */
  readonly escaping?: NameEscaping | undefined;
};

/** Parses a Content-Type; whatever is not OpenMetrics counts as the text format. */
export function parseScrapeFormat(contentType: string | undefined): ScrapeFormat {
  const [type = "", ...parameters] = (contentType ?? "").toLowerCase().replaceAll('"', "").split(";").map(trimmed);
  const escaping = parseNameEscaping(valueOf(parameters, "escaping"));
  const declared = escaping === undefined ? undefined : { escaping };
  if (type !== openMetrics) return { kind: "text", ...declared };
  return { kind: "openmetrics", version: valueOf(parameters, "version") === "1.0.0" ? "1.0.0" : "0.0.1", ...declared };
}

/** False for formats that are not text; a missing or general type may be metrics. */
export function isMetricText(contentType = ""): boolean {
  const [type = ""] = contentType.toLowerCase().split(";").map(trimmed);
  return !type.includes("protobuf") && type !== "application/json" && type !== "text/html";
}

function trimmed(text: string): string {
  return text.trim();
}

function valueOf(parameters: readonly string[], name: string): string | undefined {
  return parameters.find((parameter) => parameter.startsWith(`${name}=`))?.slice(name.length + 1);
}

export function renderContentType(format: ScrapeFormat): string {
  const escaping = format.escaping === undefined ? "" : `; escaping=${format.escaping}`;
  if (format.kind === "openmetrics") return `${openMetrics}; version=${format.version}; charset=utf-8${escaping}`;
  return `text/plain; version=${escaping === "" ? "0.0.4" : "1.0.0"}; charset=utf-8${escaping}`;
}

/**
 * The format of the response: OpenMetrics if an application sends it and the scraper accepts it, since the text format has
 * no place for exemplars and units; else text. Of two versions the older one, whose documents are the same.
 */
export function commonFormat(formats: readonly ScrapeFormat[], accept: string | undefined): ScrapeFormat {
  const versions = formats.flatMap((format) => (format.kind === "openmetrics" ? [format.version] : []));
  const version = versions.find((one) => one === "0.0.1") ?? versions[0];
  const agreed: ScrapeFormat =
    version !== undefined && acceptsOpenMetrics(accept) ? { kind: "openmetrics", version } : { kind: "text" };
  // a target that escapes names has none that need quotes
  const isQuoted = formats.some(({ escaping }) => escaping === "allow-utf-8");
  return isQuoted && acceptedEscaping(accept, agreed.kind) === "allow-utf-8"
    ? { ...agreed, escaping: "allow-utf-8" }
    : agreed;
}

/** How the scraper wants names to be written: those of other characters than letters, digits, `_` and `:`. */
export function acceptedEscaping(accept: string | undefined, kind: ScrapeFormat["kind"]): NameEscaping {
  const items = upstreamAccept(accept, true).split(",").map(parseScrapeFormat);
  const wanted = items.flatMap(({ kind: other, escaping }) => (other === kind ? (escaping ?? []) : []));
  return wanted.find((escaping) => escaping === "allow-utf-8") ?? wanted[0] ?? "underscores";
}

/** The Accept header for Envoy and applications when the scraper's header contains no text format. */
const plainText = "text/plain;version=0.0.4";

/**
 * The Accept header for one target, derived from the scraper's: only text formats, in the scraper's order. The
 * scraper's weights are replaced by descending ones.
 * @param header the scraper's Accept header, if any
 * @param openMetricsToo whether the target may respond in OpenMetrics
 * Source: pilot-agent's rewriting, as observed on the wire
 */
export function upstreamAccept(header: string | undefined, openMetricsToo: boolean): string {
  const wanted: string[] = [];
  for (const item of (header ?? "").split(",")) {
    const type = upstreamType(item, openMetricsToo);
    if (type !== undefined && !wanted.some((other) => mediaType(other) === mediaType(type))) wanted.push(type);
  }
  if (wanted.length === 0) return plainText;
  return wanted
    .slice(0, 9)
    .map((type, index, all) => `${type};q=0.${String(all.length - index)}`)
    .join(",");
}

/** Whether the scraper accepts a response in OpenMetrics. */
export function acceptsOpenMetrics(header: string | undefined): boolean {
  return upstreamAccept(header, true).includes(openMetrics);
}

function upstreamType(item: string, openMetricsToo: boolean): string | undefined {
  const [type = "", ...parameters] = item.split(";").map((part) => part.trim());
  const kept = parameters.filter((parameter) => /^[a-z-]+=[\w.-]+$/i.test(parameter) && !/^q=/i.test(parameter));
  const name = type.toLowerCase();
  if (name === "*/*" || name === "*") return plainText;
  if (name === "text/plain" || name === "text/*") return [name, ...kept].join(";");
  if (!openMetricsToo) return undefined;
  if (name === "application/*") return `${openMetrics};version=0.0.1`;
  const version = valueOf(kept, "version");
  const isKnown = version === undefined || version === "1.0.0" || version === "0.0.1";
  return name === openMetrics && isKnown ? [name, ...kept].join(";") : undefined;
}

/** Type and version: to a target, items with the same ones are equal. */
function mediaType(item: string): string {
  const version = /version=([\w.-]+)/.exec(item)?.[1] ?? "";
  const name = item.split(";")[0] ?? "";
  return `${name} ${version}`;
}

/** Deadlines of one scrape, so that the response arrives before the scraper gives up. */
export interface ScrapeBudget {
  /** For a target to send its whole body, or as much of a large body as is buffered before it is written. */
  readonly targetMs: number;
  /** For the whole response. */
  readonly responseMs: number;
}

const defaultMs = 3_000;
/** Reserved for the way back to the scraper. */
const marginMs = 200;

/**
 * @param timeoutSeconds the header `X-Prometheus-Scrape-Timeout-Seconds`: seconds with a fraction. A value that is not
 * a number counts as missing.
 * @param waitedMs how much of it has passed
 */
export function scrapeBudget(timeoutSeconds: string | undefined, waitedMs = 0): ScrapeBudget {
  const given = Number.parseFloat(timeoutSeconds ?? "") * 1_000;
  const usable = Number.isFinite(given) && given >= 0;
  const wholeMs = usable ? given - Math.min(marginMs, given * 0.1) : defaultMs;
  const responseMs = Math.max(0, wholeMs - waitedMs);
  return { responseMs, targetMs: responseMs * 0.85 };
}
