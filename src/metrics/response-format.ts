// SPDX-License-Identifier: Apache-2.0
import type { Pace } from "../lib/async/pace.ts";
import type { Budget } from "../lib/budget.ts";
import type { Budgets } from "../model/limits.ts";
import { FamilyTable } from "./family-table.ts";
import { convertedFamily } from "./format-conversion.ts";
import { type NameEscaping, renderMetricName } from "./metric-name.ts";
import { acceptedEscaping, commonFormat, type ScrapeFormat } from "./negotiation.ts";
import type { DecidedPart } from "./scrape-parts.ts";

/** Disposing it releases what it takes of the budgets. */
export interface ResponseFormat extends Disposable {
  readonly format: ScrapeFormat;
  /** How names are written. */
  readonly names: NameEscaping;
  /** For the applications' families, where they are joined. */
  readonly joinedFamilies: Budget | undefined;
}

/**
 * The applications' format. OpenMetrics wants the samples of a family together: if two of them declare the same one, their
 * families are joined, or, where a body is too large to be held, the format is text.
 */
export async function decideFormat(
  parts: readonly DecidedPart[],
  accept: string | undefined,
  { pace, budgets }: { readonly pace: Pace; readonly budgets: Budgets },
): Promise<ResponseFormat> {
  const usable = parts.filter(({ type, decision }) => type === "application" && decision.kind === "usable");
  const formats = usable.flatMap(({ decision }) => (decision.kind === "usable" ? [decision.format] : []));
  const format = commonFormat(formats, accept);
  const joined = budgets.of("scrape-joined-bytes").child();
  const decided = (chosen: ScrapeFormat, joinedFamilies?: Budget): ResponseFormat => ({
    format: chosen,
    names: acceptedEscaping(accept, chosen.kind),
    joinedFamilies,
    [Symbol.dispose]: () => {
      joined[Symbol.dispose]();
    },
  });
  if (format.kind === "text" || usable.length < 2) return decided(format);
  const { areCommon, count } = await findFamilies(usable, pace);
  if (!areCommon) return decided(format);
  const families = budgets.of("scrape-joined-families");
  const bytes = usable.reduce((sum, { fetch }) => sum + fetch.bufferedBytes, 0);
  const areHeld = usable.every(({ fetch }) => fetch.isComplete);
  if (areHeld && families.admits(count) && joined.tryTake(bytes)) return decided(format, families);
  const textFormats = formats.map(({ escaping }) => ({ kind: "text", escaping }) as const);
  return decided(commonFormat(textFormats, accept));
}

const familiesBetweenPauses = 50;

/** The families in the buffered beginnings of the bodies, by their names in OpenMetrics, and whether two bodies share one. */
async function findFamilies(parts: readonly DecidedPart[], pace: Pace) {
  let areCommon = false;
  const table = new FamilyTable();
  await pace.begin();
  for (const [index, { fetch, decision }] of parts.entries()) {
    const label = String(index);
    const from = decision.kind === "usable" ? decision.format.kind : "text";
    for (const declared of fetch.declaredFamilies()) {
      const formats = { from, to: "openmetrics", names: "underscores" } as const;
      const family = renderMetricName(convertedFamily(declared.family, declared.type, formats).family, "underscores");
      const first = table.claim(family, { label, type: "" });
      if (first !== undefined && first.label !== label) areCommon = true;
      if (table.size % familiesBetweenPauses === 0) await pace.pause();
    }
  }
  return { areCommon, count: table.size };
}
