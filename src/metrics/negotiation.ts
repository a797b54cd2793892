// SPDX-License-Identifier: Apache-2.0

const openMetrics = "application/openmetrics-text";

/** A text format of metrics. Two versions of OpenMetrics cannot be mixed. */
export type ScrapeFormat =
  | { readonly kind: "text" }
  | { readonly kind: "openmetrics"; readonly version: "1.0.0" | "0.0.1" };

/** Parses a Content-Type; whatever is not OpenMetrics counts as the text format. */
export function parseScrapeFormat(contentType: string | undefined): ScrapeFormat {
  const [type = "", ...parameters] = (contentType ?? "").split(";").map((part) => part.trim());
  if (type.toLowerCase() !== openMetrics) return { kind: "text" };
  return { kind: "openmetrics", version: parameters.includes("version=1.0.0") ? "1.0.0" : "0.0.1" };
}

export function renderContentType(format: ScrapeFormat): string {
  return format.kind === "text"
    ? "text/plain; version=0.0.4; charset=utf-8"
    : `${openMetrics}; version=${format.version}; charset=utf-8`;
}

/** The format of the response: that of the applications if all of them agree and the scraper accepts it, else text. */
export function commonFormat(formats: readonly ScrapeFormat[], openMetricsAccepted: boolean): ScrapeFormat {
  const [first, ...others] = formats;
  if (first === undefined || first.kind === "text" || !openMetricsAccepted) return { kind: "text" };
  const same = others.every((other) => renderContentType(other) === renderContentType(first));
  return same ? first : { kind: "text" };
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
  return name === openMetrics ? [name, ...kept].join(";") : undefined;
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
