// SPDX-License-Identifier: Apache-2.0
import type { Subject, SummarizedComparison } from "./comparison.ts";

const width = 230;
const height = 170;
const margin = { left: 52, right: 14, top: 30, bottom: 34 };
const colours: Readonly<Record<Subject, string>> = { attache: "#0b62c4", reference: "#777777", peer: "#c4570b" };

type Row = SummarizedComparison & { readonly point: NonNullable<SummarizedComparison["point"]> };

/**
 * The curves of the rows of one figure, one panel for each kind of work, both axes logarithmic. No work at all is drawn as
 * the place before the first step.
 * @param figure the beginning of the figure's name
 * @returns an SVG
 */
export function renderCurves(rows: readonly SummarizedComparison[], figure: string): string {
  const points = rows.filter((row): row is Row => row.point?.figure.startsWith(figure) === true);
  const kinds = [...new Set(points.map(({ point }) => point.along))];
  const panels = kinds.map((kind, index) => {
    const panel = renderPanel(points.filter(({ point }) => point.along === kind));
    return `<g transform="translate(${String(index * width)} 0)">${panel}</g>`;
  });
  const legend = Object.entries(colours).flatMap(([subject, colour], index) =>
    points.some(({ summaries }) => summaries[subject as Subject] !== undefined)
      ? [`<text x="${String(10 + index * 80)}" y="${String(height + 14)}" fill="${colour}">${subject}</text>`]
      : [],
  );
  const size = `width="${String(width * kinds.length)}" height="${String(height + 20)}"`;
  const style = 'font-family="sans-serif" font-size="10"';
  return `<svg xmlns="http://www.w3.org/2000/svg" ${size} ${style}><rect width="100%" height="100%" fill="white"/>${panels.join("")}${legend.join("")}</svg>\n`;
}

function renderPanel(rows: readonly Row[]): string {
  const values = rows.flatMap(({ summaries }) => Object.values(summaries).map(({ median }) => median));
  const ats = rows.map(({ point }) => point.at);
  const firstAt = Math.min(...ats.filter((at) => at > 0));
  const x = scale(
    [Math.min(...ats.map((at) => placeOf(at, firstAt))), Math.max(...ats)],
    [margin.left, width - margin.right],
  );
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const y = scale([low * 0.8, high * 1.2], [height - margin.bottom, margin.top]);
  const curves = Object.entries(colours).map(([subject, colour]) => {
    const known = rows.flatMap(({ point, summaries }) => {
      const summary = summaries[subject as Subject];
      return summary === undefined ? [] : [`${x(placeOf(point.at, firstAt))},${y(summary.median)}`];
    });
    return known.length === 0
      ? ""
      : `<polyline points="${known.join(" ")}" fill="none" stroke="${colour}" stroke-width="2"/>`;
  });
  const unit = rows[0]?.unit ?? "";
  const ticks = rows.map(({ point }) => {
    const left = x(placeOf(point.at, firstAt));
    return `<text x="${left}" y="${String(height - margin.bottom + 14)}" text-anchor="middle">${point.at.toLocaleString("en")}</text>`;
  });
  const levels = [low, Math.sqrt(low * high), high].map(
    (value) => `<text x="${String(margin.left - 6)}" y="${y(value)}" text-anchor="end">${value.toPrecision(3)}</text>`,
  );
  const title = `${rows[0]?.point.along ?? ""}: ${rows[0]?.point.figure ?? ""}, ${unit}`;
  const frame = `<path d="M${String(margin.left)} ${String(margin.top)}V${String(height - margin.bottom)}H${String(width - margin.right)}" fill="none" stroke="#999999"/>`;
  return `<text x="6" y="16">${title}</text>${frame}${ticks.join("")}${levels.join("")}${curves.join("")}`;
}

function placeOf(at: number, firstAt: number): number {
  return at > 0 ? at : firstAt / 10;
}

/** Logarithmic. @returns coordinates as text */
function scale(
  [from, to]: readonly [number, number],
  [start, end]: readonly [number, number],
): (value: number) => string {
  const span = Math.log(to) - Math.log(from);
  return (value) => (start + ((Math.log(value) - Math.log(from)) / span) * (end - start)).toFixed(1);
}
