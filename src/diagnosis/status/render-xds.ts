// SPDX-License-Identifier: Apache-2.0
import type { Paint } from "../../lib/paint.ts";
import { escapeControls } from "../../lib/printable-text.ts";
import { formatMoment } from "../../lib/relative-time.ts";
import { renderTable } from "../../lib/text-table.ts";
import { hangingLines } from "../../lib/text-wrap.ts";
import type { PodStatus } from "./pod-status.ts";
import type { XdsTypeStatus } from "./xds-status.ts";

/** How a status is shown. */
export interface StatusView {
  readonly paint: Paint;
  /** Of a line. */
  readonly columns: number;
}

/** A version is as long as the control plane likes; the last part tells it from others. */
const mostVersion = 24;
/** On a narrower line, the count of resources is left out. */
const wideColumns = 72;
const shownResources = 5;

/** One row for each type of resource, and why an update was rejected. Empty where configuration comes from files. */
export function renderXds({ xds, now }: PodStatus, { columns, paint }: StatusView): string {
  if (xds === undefined) return "";
  const nowMs = Date.parse(now);
  const isWide = columns >= wideColumns;
  const head = ["type", "state", "version", ...(isWide ? ["resources"] : []), "updated"];
  const rows = xds.types.map((type) => [
    type.type,
    type.state,
    shortVersion(type.version),
    ...(isWide ? [type.resourceCount === undefined ? "" : String(type.resourceCount)] : []),
    updatedText(type, nowMs),
  ]);
  const notes = xds.types.flatMap((type) => rejectionNote(type, nowMs, columns));
  const cache =
    xds.cacheSince === undefined
      ? []
      : [`Envoy is served from the cache since ${formatMoment(Date.parse(xds.cacheSince), nowMs)}.`];
  const table = xds.types.length === 0 ? "No type of resource is subscribed yet.\n" : renderTable(head, rows);
  return table + [...cache, ...notes].map((line) => `${paint("warning", line)}\n`).join("");
}

function shortVersion(version: string): string {
  return version.length <= mostVersion ? version : `...${version.slice(3 - mostVersion)}`;
}

/** When Envoy acknowledged, or, for what it has not acknowledged, when it was sent. */
function updatedText({ state, lastSentAt, lastAckedAt }: XdsTypeStatus, nowMs: number): string {
  const at = state === "STALE" || state === "NACKED" ? (lastSentAt ?? lastAckedAt) : (lastAckedAt ?? lastSentAt);
  return at === undefined ? "" : formatMoment(Date.parse(at), nowMs);
}

function rejectionNote({ type, rejection, version }: XdsTypeStatus, nowMs: number, columns: number): readonly string[] {
  if (rejection === undefined) return [];
  const { version: rejected, since, resources, reason } = rejection;
  const when = since === undefined ? "" : ` ${formatMoment(Date.parse(since), nowMs)}`;
  const names = resources.slice(0, shownResources).join(", ");
  const more = resources.length > shownResources ? ` and ${String(resources.length - shownResources)} more` : "";
  const what = names === "" ? "" : ` (${names}${more})`;
  const kept = version === "" ? "" : `; version ${version} stays in use`;
  const text = `version ${rejected} was rejected${when}${what}${kept}: ${reason}`;
  return [hangingLines(`${type}: `, escapeControls(text), columns)];
}
