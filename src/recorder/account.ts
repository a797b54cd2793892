// SPDX-License-Identifier: Apache-2.0
import type { RecordedEvent } from "./event-ring.ts";

/** How the agent ends. */
export interface AgentEnd {
  readonly code: number;
  /** Why, on one line, with what to do about it. */
  readonly reason: string;
  /** More about it, in lines: what the pod still waited for. Written between the reason and the events. */
  readonly details?: string | undefined;
}

/** What Kubernetes keeps of a termination message. Source: Kubernetes, "Customizing the termination message" */
export const terminationMessageBytes = 4_096;

/** So that details do not crowd out the events. */
const mostDetailBytes = 1_500;

/**
 * The end, its details and, as far as they fit, the last events before it: newest last, each with the seconds before the end.
 * @param nowMs wall clock at the end
 */
export function renderTerminationMessage(
  end: AgentEnd,
  events: readonly RecordedEvent[],
  nowMs: number,
  maxBytes = terminationMessageBytes,
): string {
  const title = cutToBytes(`attache ended with code ${String(end.code)}: ${oneLine(end.reason)}\n`, maxBytes);
  const module = Math.min(mostDetailBytes, maxBytes - Buffer.byteLength(title));
  const head = title + cutToBytes(detailLines(end), module);
  const lines: string[] = [];
  let bytes = Buffer.byteLength(head);
  for (const event of events.toReversed()) {
    const line = `${renderAge(nowMs - event.timeMs)} ${event.level} ${event.text}\n`;
    bytes += Buffer.byteLength(line);
    if (bytes > maxBytes) break;
    lines.push(line);
  }
  return head + lines.toReversed().join("");
}

/** The whole account, for a folder. */
export function renderAccount(
  end: AgentEnd,
  events: readonly RecordedEvent[],
  { nowMs, forgotten }: { readonly nowMs: number; readonly forgotten: number },
): string {
  const account = {
    endedAt: new Date(nowMs).toISOString(),
    code: end.code,
    reason: oneLine(end.reason),
    details: end.details?.split("\n"),
    forgottenEvents: forgotten,
    events: events.map(({ timeMs, level, text }) => ({ time: new Date(timeMs).toISOString(), level, text })),
  };
  return `${JSON.stringify(account, undefined, 1)}\n`;
}

function detailLines({ details = "" }: AgentEnd): string {
  return details === "" || details.endsWith("\n") ? details : `${details}\n`;
}

function renderAge(ageMs: number): string {
  return `-${(Math.max(0, ageMs) / 1_000).toFixed(3)}s`;
}

function oneLine(text: string): string {
  return text.replaceAll(/\s*[\r\n]+\s*/g, " ");
}

/** Cuts at a character's border, never within one. */
function cutToBytes(text: string, maxBytes: number): string {
  if (Buffer.byteLength(text) <= maxBytes) return text;
  const cut = Buffer.from(text).subarray(0, Math.max(0, maxBytes - 4));
  return `${new TextDecoder("utf-8", { fatal: false }).decode(cut, { stream: true })}…\n`;
}
