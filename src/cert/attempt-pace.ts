// SPDX-License-Identifier: Apache-2.0

/** Tries are never closer than this: at most one a second also where the CA counts them. */
const leastGapMs = 1_050;
/** And never more than this many a minute, however they fail. */
const mostInWindow = 10;
const windowMs = 61_000;
/** While nothing is served, this many tries follow each other at most `urgentMaxMs` apart: two seconds with the call. */
const urgentTries = 8;
const urgentMaxMs = 1_800;
const patientFirstMs = 4_000;
/** While the CA's return is watched for: far enough apart to leave tries for the moment when it is back. */
const watchedFloorMs = 10_000;
const watchedJitterMs = 5_000;

export interface FailedTries {
  /** Failures in a row, at least 1. */
  readonly failures: number;
  /** No valid certificate is in use: at the start, or after one expired. */
  readonly urgent: boolean;
  /** Nothing is served, there was no connection, and somebody looks whether one can be made: tries need not tell. */
  readonly watched: boolean;
  /** What the CA asked for; 0 for nothing. */
  readonly retryAfterMs: number;
  /** Uniform in [0, 1). */
  readonly random: number;
}

/**
 * How long to wait after a failed try, with full jitter above the least gap, or above what the CA asked for.
 * @returns milliseconds: one to two seconds for the first tries of a workload that has nothing; up to 10 s later; up to a minute
 * for one whose certificate is still valid
 */
export function retryDelayMs({ failures, urgent, watched, retryAfterMs, random }: FailedTries): number {
  if (watched) return Math.max(watchedFloorMs, retryAfterMs) + random * watchedJitterMs;
  const floorMs = Math.max(leastGapMs, retryAfterMs);
  return floorMs + random * (ceilingMs(failures, urgent) - leastGapMs);
}

function ceilingMs(failures: number, urgent: boolean): number {
  if (urgent && failures <= urgentTries) return urgentMaxMs;
  const doublings = Math.min(urgent ? failures - urgentTries : failures, 16);
  return Math.min(urgent ? 10_000 : 60_000, patientFirstMs * 2 ** (doublings - 1));
}

/** Counts the tries, so that no fault can make a hot loop of them. Times are of the monotonic clock. */
export class AttemptPace {
  #startsMs: readonly number[] = [];

  begin(nowMs: number): void {
    this.#startsMs = [...this.#startsMs, nowMs].slice(-mostInWindow);
  }

  /** The earliest time for the next try; may be in the past. */
  get earliestMs(): number {
    const last = this.#startsMs.at(-1) ?? Number.NEGATIVE_INFINITY;
    const first = this.#startsMs.length < mostInWindow ? undefined : this.#startsMs[0];
    return Math.max(last + leastGapMs, first === undefined ? Number.NEGATIVE_INFINITY : first + windowMs);
  }
}
