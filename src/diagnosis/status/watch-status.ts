// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../../lib/async/clock.ts";
import { describeError } from "../../lib/errors.ts";
import { withoutMoments } from "../../lib/relative-time.ts";
import { type PodStatus, statusWithoutAgent } from "./pod-status.ts";

export interface WatchOptions {
  readonly read: (signal: AbortSignal) => Promise<PodStatus>;
  /** Called with each status. @param changed whether anything but time is different from the one before */
  readonly show: (status: PodStatus, changed: boolean) => Promise<void>;
  /** Ends the watch: the output has no reader any more. */
  readonly isOver: () => boolean;
  readonly clock: Clock;
}

const periodMs = 1_000;

/** Reads the status once a second until the signal aborts. An agent that is away is a status too. */
export async function watchStatus({ read, show, isOver, clock }: WatchOptions, stop: AbortSignal): Promise<void> {
  let before: string | undefined;
  const isStopped = (): boolean => stop.aborted || isOver();
  while (!isStopped()) {
    const startMs = clock.monotonicMs();
    const status = await read(stop).catch((error: unknown) => {
      return statusWithoutAgent({ why: describeError(error), cure: "", isLate: false }, clock.now());
    });
    if (isStopped()) return;
    const now = withoutTime(status);
    await show(status, now !== before);
    before = now;
    const restMs = Math.max(0, periodMs - (clock.monotonicMs() - startMs));
    await clock.delay(restMs, stop).catch(() => undefined);
  }
}

/** What changes other than by time passing. The time of a success does so too, which repeats. */
export function withoutTime({ now: _, ...status }: PodStatus): string {
  const { ca, xds, lastErrors, sentence, ...rest } = status;
  return JSON.stringify({
    ...rest,
    sentence: withoutMoments(sentence),
    ca: ca === undefined ? undefined : { ...ca, lastSuccessAt: ca.lastSuccessAt !== undefined },
    xds:
      xds === undefined
        ? undefined
        : { ...xds, types: xds.types.map(({ lastSentAt: _sent, lastAckedAt: _acked, ...type }) => type) },
    lastErrors: lastErrors.map(({ at, text }) => [at, text]),
  });
}
