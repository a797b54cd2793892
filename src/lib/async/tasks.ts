// SPDX-License-Identifier: Apache-2.0
import { abortReason } from "./clock.ts";

/** A loop that runs until its signal aborts; it ends by returning, or by throwing what went wrong. */
export type Task = (signal: AbortSignal) => Promise<void>;

/**
 * Runs tasks together: the first one to end stops the others, and the first failure is thrown after all have ended. An
 * end that `stop` caused is not a failure.
 */
export async function runTasks(stop: AbortSignal, tasks: readonly Task[]): Promise<void> {
  const controller = new AbortController();
  const signal = AbortSignal.any([stop, controller.signal]);
  const failures: unknown[] = [];
  const ends = tasks.map(async (task) => {
    try {
      await task(signal);
    } catch (error) {
      if (!signal.aborted) failures.push(error);
    } finally {
      controller.abort();
    }
  });
  await Promise.all(ends);
  if (failures.length > 0) throw failures[0];
}

/**
 * A task in the background that is stopped and awaited when it is disposed. A failure before that goes to
 * `onFailure`; it is never lost.
 */
export function startTask(task: Task, onFailure: (error: unknown) => void): AsyncDisposable {
  const controller = new AbortController();
  const end = task(controller.signal).catch((error: unknown) => {
    if (!controller.signal.aborted) onFailure(error);
  });
  return {
    async [Symbol.asyncDispose]() {
      controller.abort(new Error("stopped"));
      await end;
    },
  };
}

/** Resolves when the signal aborts; never rejects. */
export function untilAborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else {
      signal.addEventListener(
        "abort",
        () => {
          resolve();
        },
        { once: true },
      );
    }
  });
}

/**
 * Waits for `work`, but not longer than until the signal aborts.
 * @throws the signal's reason; the outcome of `work` is ignored then
 */
export async function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  if (signal.aborted) {
    work.catch(() => undefined);
    throw abortReason(signal);
  }
  let onAbort: (() => void) | undefined;
  const aborted = new Promise<never>((_resolve, reject) => {
    onAbort = () => {
      reject(abortReason(signal));
    };
    signal.addEventListener("abort", onAbort, { once: true });
  });
  try {
    return await Promise.race([work, aborted]);
  } finally {
    if (onAbort !== undefined) signal.removeEventListener("abort", onAbort);
  }
}
