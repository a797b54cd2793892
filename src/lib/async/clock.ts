// SPDX-License-Identifier: Apache-2.0

/**
 * The only way to wait or to read the time. Tests replace it by one that they move.
 */
export interface Clock {
  /** Wall clock, milliseconds since the epoch. May jump in both directions. */
  now(): number;
  /** Milliseconds since an arbitrary start; never goes back. */
  monotonicMs(): number;
  /**
   * Waits for `ms` milliseconds of running time; 0 or less yields to the event loop once. Any length is allowed.
   * @throws the signal's reason as soon as it is aborted
   */
  delay(ms: number, signal?: AbortSignal): Promise<void>;
}

/** Node's timers hold 31 bits; a longer delay would fire at once, so long waits are made of several. */
const longestTimerMs = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => Date.now(),
  monotonicMs: () => performance.now(),
  async delay(ms, signal) {
    let leftMs = ms;
    do {
      const stepMs = Math.min(Math.max(leftMs, 0), longestTimerMs);
      await timer(stepMs, signal);
      leftMs -= stepMs;
    } while (leftMs > 0);
  },
};

function timer(ms: number, signal: AbortSignal | undefined): Promise<void> {
  return new Promise((resolve, reject) => {
    if (signal?.aborted === true) {
      reject(abortReason(signal));
      return;
    }
    const onAbort = (): void => {
      stop();
      if (signal !== undefined) reject(abortReason(signal));
    };
    const stop = startTimer(ms, () => {
      signal?.removeEventListener("abort", onAbort);
      resolve();
    });
    signal?.addEventListener("abort", onAbort, { once: true });
  });
}

/** A timer of 0 ms would fire after 1 ms. @returns what stops it */
function startTimer(ms: number, onTime: () => void): () => void {
  if (ms > 0) {
    const timeout = setTimeout(onTime, ms);
    return () => {
      clearTimeout(timeout);
    };
  }
  const immediate = setImmediate(onTime);
  return () => {
    clearImmediate(immediate);
  };
}

/** The error to throw for an aborted signal: its reason, wrapped if it is not an error. */
export function abortReason(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new Error("aborted", { cause: signal.reason });
}

/**
 * A signal that aborts `ms` milliseconds from now by the given clock, or when one of `parents` does.
 * Disposing it releases the timer.
 */
export function deadline(
  clock: Clock,
  ms: number,
  ...parents: readonly (AbortSignal | undefined)[]
): { readonly signal: AbortSignal } & Disposable {
  const controller = new AbortController();
  const done = new AbortController();
  const dispose = (): void => {
    for (const parent of parents) parent?.removeEventListener("abort", onParent);
    done.abort(disposed);
  };
  const onParent = (): void => {
    const parent = parents.find((one) => one?.aborted === true);
    if (parent !== undefined) controller.abort(abortReason(parent));
    dispose();
  };
  for (const parent of parents) parent?.addEventListener("abort", onParent);
  if (parents.some((parent) => parent?.aborted === true)) onParent();
  clock.delay(ms, done.signal).then(
    () => {
      controller.abort(new DeadlineError(ms));
      dispose();
    },
    () => undefined,
  );
  return { signal: controller.signal, [Symbol.dispose]: dispose };
}

/** Made once: an error with its stack costs more than the deadline. */
const disposed = new Error("the deadline is no longer needed");

/** A wait exceeded its time limit. */
export class DeadlineError extends Error {
  override readonly name = "DeadlineError";
  readonly afterMs: number;
  constructor(afterMs: number) {
    super(`no response within ${String(Math.round(afterMs))} ms`);
    this.afterMs = afterMs;
  }
}

/** How often the wall clock is read while something waits for it. */
const wallClockIntervalMs = 1_000;
/** How much wall clock and running time may differ within one interval, because of slewing and busy machines. */
const wallClockToleranceMs = 2_000;

/**
 * Waits until the wall clock shows a time, or has moved differently from running time: it was changed, or the process or
 * the machine was suspended. Detected within a second of running time.
 * @returns "due", or "jumped" when what was scheduled by the old time must be scheduled again
 * @throws the signal's reason
 */
export async function untilWallClock(clock: Clock, atMs: number, signal: AbortSignal): Promise<"due" | "jumped"> {
  while (clock.now() < atMs) {
    const wallMs = clock.now();
    const runningMs = clock.monotonicMs();
    const stepMs = Math.min(wallClockIntervalMs, atMs - wallMs);
    await clock.delay(stepMs, signal);
    const ranMs = clock.monotonicMs() - runningMs;
    const movedMs = clock.now() - wallMs;
    if (Math.abs(movedMs - ranMs) > wallClockToleranceMs || ranMs > stepMs + wallClockToleranceMs) return "jumped";
  }
  return "due";
}
