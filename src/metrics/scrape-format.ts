// SPDX-License-Identifier: Apache-2.0

/** The text formats of a scrape. OpenMetrics of different versions does not mix. */
export type ScrapeFormat =
  | { readonly kind: "text" }
  | { readonly kind: "openmetrics"; readonly version: "1.0.0" | "0.0.1" };

/** Reads a Content-Type; everything that is not OpenMetrics is taken for the text format. */
export function parseScrapeFormat(contentType: string | undefined): ScrapeFormat {
  const [type = "", ...parameters] = (contentType ?? "").split(";").map((part) => part.trim());
  if (type.toLowerCase() !== "application/openmetrics-text") return { kind: "text" };
  return { kind: "openmetrics", version: parameters.includes("version=1.0.0") ? "1.0.0" : "0.0.1" };
}

export function renderContentType(format: ScrapeFormat): string {
  return format.kind === "text"
    ? "text/plain; version=0.0.4; charset=utf-8"
    : `application/openmetrics-text; version=${format.version}; charset=utf-8`;
}

/** The format of the whole answer: that of the applications when all of them agree and the scraper takes it. */
export function commonFormat(formats: readonly ScrapeFormat[], openMetricsAccepted: boolean): ScrapeFormat {
  const [first, ...others] = formats;
  if (first === undefined || first.kind === "text" || !openMetricsAccepted) return { kind: "text" };
  return others.every((other) => sameFormat(first, other)) ? first : { kind: "text" };
}

function sameFormat(a: ScrapeFormat, b: ScrapeFormat): boolean {
  return renderContentType(a) === renderContentType(b);
}
