// SPDX-License-Identifier: Apache-2.0
import { untilAborted } from "../lib/tasks.ts";

/** Why and how the agent ends, put together from its signals, its control endpoints and its rooms. */
export interface Ending extends Disposable {
  /** Aborts with the reason of the end, whoever asked for it. */
  readonly signal: AbortSignal;
  /** The reason in words, once there is one. */
  reason(): string | undefined;
  /** Ends the agent in order, with this error: a room's server died in mid-run. */
  fail(error: unknown): void;
  /** Ends the agent without a drain: somebody on loopback asked for it. */
  quit(): void;
  /** Envoy drains already, by request; a later signal then ends the agent without a second drain. */
  drained(): void;
  /** Whether the end is to begin with a drain. */
  readonly wantsDrain: boolean;
  /** The error that the agent must end with, or undefined. */
  readonly failure: unknown;
}

export function createEnding(outer: AbortSignal): Ending {
  const own = new AbortController();
  const signal = AbortSignal.any([outer, own.signal]);
  let wantsDrain = true;
  let failure: unknown;
  return {
    signal,
    reason: () => {
      if (!signal.aborted) return undefined;
      return signal.reason instanceof Error ? signal.reason.message : "asked to stop";
    },
    fail(error) {
      failure ??= error;
      own.abort(error);
    },
    quit() {
      wantsDrain = false;
      own.abort(new Error("/quitquitquit called"));
    },
    drained() {
      wantsDrain = false;
    },
    get wantsDrain() {
      return wantsDrain;
    },
    get failure() {
      return failure;
    },
    [Symbol.dispose]() {
      own.abort(new Error("ended"));
    },
  };
}

/** Resolves when Envoy is gone or somebody asks for the end, whichever comes first. */
export async function untilEnd(ending: Ending, envoyExited: Promise<unknown>): Promise<void> {
  await Promise.race([envoyExited, untilAborted(ending.signal)]);
}
