// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";
import type { Logger } from "../lib/log/log.ts";
import { startTask } from "../lib/async/tasks.ts";
import type { SystemCalls } from "./system-calls.ts";

export interface OrphanDeps {
  readonly log: Logger;
  readonly clock: Clock;
  readonly calls: Pick<SystemCalls, "nextEndedChild" | "reap">;
  /** Whether the runtime itself waits for this process; taking its end away would lose its exit code. */
  readonly isOwnChild: (pid: number) => boolean;
  /** Tells of ended children: the process, or a stand-in. */
  readonly signals: Pick<NodeJS.EventEmitter, "on" | "off">;
}

/** After a child's end the runtime takes note of its own children first; what is left then was adopted. */
const settleMs = 50;
/** A look without a cause, for an end whose signal was merged with another's. */
const lookEveryMs = 30_000;
/** Some microseconds each; more would hold up the event loop. */
const mostInOneTurn = 200;

/**
 * Reaps processes that were adopted because their parents have ended, as process 1 must: nobody else takes note of
 * their end, and each would keep its entry in the process table for ever.
 */
export function startReaping(deps: OrphanDeps): AsyncDisposable {
  const ended = new EventTarget();
  const onEnded = (): void => {
    ended.dispatchEvent(new Event("child"));
  };
  deps.signals.on("SIGCHLD", onEnded);
  const task = startTask(
    (stop) => reapUntil(stop, ended, deps),
    () => undefined,
  );
  return {
    async [Symbol.asyncDispose]() {
      deps.signals.off("SIGCHLD", onEnded);
      await task[Symbol.asyncDispose]();
    },
  };
}

async function reapUntil(
  stop: AbortSignal,
  ended: EventTarget,
  { log, clock, calls, isOwnChild }: OrphanDeps,
): Promise<void> {
  while (!stop.aborted) {
    const { reaped, more } = reapSome(calls, isOwnChild);
    if (reaped > 0) log.debug("adopted processes reaped", { reaped });
    if (more) {
      await clock.delay(0, stop);
    } else {
      await untilChildEnds(ended, clock, stop);
      await clock.delay(settleMs, stop);
    }
  }
}

/** @returns how many were reaped, and whether there may be more right now */
function reapSome(
  calls: OrphanDeps["calls"],
  isOwnChild: OrphanDeps["isOwnChild"],
): { readonly reaped: number; readonly more: boolean } {
  for (let reaped = 0; reaped < mostInOneTurn; reaped++) {
    const pid = calls.nextEndedChild();
    if (pid === undefined || isOwnChild(pid)) return { reaped, more: false };
    calls.reap(pid);
  }
  return { reaped: mostInOneTurn, more: true };
}

async function untilChildEnds(ended: EventTarget, clock: Clock, stop: AbortSignal): Promise<void> {
  const done = new AbortController();
  const onChild = (): void => {
    done.abort();
  };
  ended.addEventListener("child", onChild, { once: true });
  await clock.delay(lookEveryMs, AbortSignal.any([stop, done.signal])).catch(() => undefined);
  ended.removeEventListener("child", onChild);
}
