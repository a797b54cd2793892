// SPDX-License-Identifier: Apache-2.0
import { type Clock, deadline, DeadlineError } from "../../lib/async/clock.ts";
import { orAborted } from "../../lib/async/tasks.ts";
import { describeError } from "../../lib/errors.ts";
import { Spool } from "./archive/spool.ts";
import { type Part, type PartGroup, PartSkippedError } from "./parts/part.ts";
import { JsonRedactor } from "../redaction/json-redactor.ts";
import type { KnownSecrets } from "../redaction/known-secrets.ts";
import { LineRedactor } from "../redaction/line-redactor.ts";
import { Removals } from "../redaction/removals.ts";

/** `cut`: its beginning is there. */
export type PartStatus = "complete" | "cut" | "failed" | "skipped";

/** A part as it was collected, redacted by form and names; known secrets are not looked for yet. */
export interface CollectedPart {
  readonly part: Part;
  readonly status: PartStatus;
  /** Why it is not complete; empty if it is. */
  readonly reason: string;
  readonly durationMs: number;
  readonly content: Spool;
  readonly removals: Removals;
}

export interface CollectOptions {
  readonly clock: Clock;
  readonly maxBytes: number;
  readonly secrets: KnownSecrets;
  readonly onCollected: (part: CollectedPart) => void;
}

/** Collects the parts of each group one after another, the groups at the same time. Never rejects for a part. */
export async function collectGroups(
  groups: readonly Promise<PartGroup>[],
  options: CollectOptions,
  signal: AbortSignal,
): Promise<readonly CollectedPart[]> {
  const collected = groups.map(async (group): Promise<readonly CollectedPart[]> => {
    const { parts, skipsAfterFirst } = await group;
    const done: CollectedPart[] = [];
    for (const part of parts) {
      const isGone = skipsAfterFirst !== undefined && done[0]?.status === "failed";
      const result = isGone ? skipped(part, skipsAfterFirst) : await collectPart(part, options, signal);
      options.onCollected(result);
      done.push(result);
    }
    return done;
  });
  return (await Promise.all(collected)).flat();
}

function skipped(part: Part, reason: string): CollectedPart {
  return { part, status: "skipped", reason, durationMs: 0, content: new Spool(), removals: new Removals() };
}

/** Thrown into a part's reading when its content is complete for us. */
class PartFullError extends Error {}

async function collectPart(
  part: Part,
  { clock, maxBytes, secrets }: CollectOptions,
  signal: AbortSignal,
): Promise<CollectedPart> {
  const startMs = clock.monotonicMs();
  using limit = deadline(clock, part.timeoutMs, signal);
  const content = new Spool();
  const removals = new Removals((secret) => {
    secrets.learn(secret);
  });
  const largest = Math.floor(maxBytes * part.share);
  const redactor = createRedactor(part, removals, largest);
  const decoder = new TextDecoder();
  let isClosed = false;
  const sink = (piece: Uint8Array | string): void => {
    if (isClosed) throw new PartFullError();
    content.write(redactor.feed(typeof piece === "string" ? piece : decoder.decode(piece, { stream: true })));
    if (redactor.problem !== undefined) throw new PartFullError();
  };
  let failure: unknown;
  try {
    await orAborted(part.read(sink, limit.signal), limit.signal);
  } catch (error) {
    if (!(error instanceof PartFullError)) failure = error;
  }
  isClosed = true;
  content.write(redactor.feed(decoder.decode()) + redactor.end());
  const problem = failure === undefined ? redactor.problem : reasonOf(failure, signal);
  const status = statusOf(failure, problem, content);
  const durationMs = clock.monotonicMs() - startMs;
  return { part, status, reason: problem ?? "", durationMs, content: isKept(status) ? content : new Spool(), removals };
}

/** Whether a part has a file in the archive. */
export function isKept(status: PartStatus): boolean {
  return status === "complete" || status === "cut";
}

function statusOf(failure: unknown, problem: string | undefined, content: Spool): PartStatus {
  if (failure instanceof PartSkippedError) return "skipped";
  if (problem === undefined) return "complete";
  // a line break alone is no content
  return content.bytes > 1 ? "cut" : "failed";
}

function reasonOf(error: unknown, signal: AbortSignal): string {
  if (signal.aborted) return "the time for the whole bundle was over";
  if (error instanceof DeadlineError) return `not complete within ${String(error.afterMs / 1_000)} s`;
  return describeError(error);
}

interface Redactor {
  readonly problem: string | undefined;
  feed(text: string): string;
  end(): string;
}

function createRedactor({ form, member }: Part, removals: Removals, maxLength: number): Redactor {
  if (form === "json") return new JsonRedactor(removals, { maxLength, ...(member === undefined ? {} : { member }) });
  const lines = new LineRedactor(removals, { keepsNumbers: form === "statistics" });
  let length = 0;
  return {
    get problem() {
      return length > maxLength ? "it is larger than its share of the size limit" : undefined;
    },
    feed(text) {
      const output = lines.feed(text);
      length += output.length;
      return output;
    },
    end: () => lines.end(),
  };
}
