// SPDX-License-Identifier: Apache-2.0

/** What is asked from Envoy when nothing that it speaks was asked for, and from applications likewise. */
const plainText = "text/plain;version=0.0.4";
const openMetrics = "application/openmetrics-text";

/**
 * The Accept header for one upstream, made from the scraper's: only text formats, in the scraper's order, with new
 * weights. Weights of the scraper are dropped.
 * @param header as it came; undefined when there was none
 * @param openMetricsToo whether the upstream may answer in OpenMetrics
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

/** Whether the scraper takes an answer in OpenMetrics. */
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

/** Type and version: two items that differ in more are the same to an upstream. */
function mediaType(item: string): string {
  const version = /version=([\w.-]+)/.exec(item)?.[1] ?? "";
  const name = item.split(";")[0] ?? "";
  return `${name} ${version}`;
}
