// SPDX-License-Identifier: Apache-2.0
import { type Clock, deadline } from "../lib/async/clock.ts";
import { orAborted } from "../lib/async/tasks.ts";
import type { Call } from "./call.ts";
import { isLoopback } from "./caller.ts";
import type { ReadinessVerdict } from "./readiness-judge.ts";

export interface ReadinessWaitDeps {
  readonly judge: { judge(): Promise<ReadinessVerdict> };
  /** Why the agent ends, once it does: then nobody waits any longer. */
  readonly terminating: () => string | undefined;
  readonly clock: Clock;
}

/** Who waits is told this soon after the pod became ready. A look takes Envoy and agent about a millisecond. */
const lookEveryMs = 10;
const longestWaitMs = 300_000;
/** Those above it are answered at once. */
const mostWaiting = 32;

/**
 * Holds a question about readiness back until the pod is ready, for a caller on loopback that asks for it by
 * `Prefer: wait=SECONDS`. All that wait share one look after the other; while nobody waits, nobody looks.
 * Source of the header: RFC 7240, section 4.3
 */
export class ReadinessWait {
  readonly #deps: ReadinessWaitDeps;
  #waiting = 0;
  #looking: Promise<void> | undefined;

  constructor(deps: ReadinessWaitDeps) {
    this.#deps = deps;
  }

  /** Resolves when the pod is ready, the agent ends, the caller's time is over or the caller has gone; never rejects. */
  async untilReady({ request, signal }: Pick<Call, "request" | "signal">): Promise<void> {
    const waitMs = preferredWaitMs(request.headers["prefer"]);
    if (waitMs === undefined || this.#waiting >= mostWaiting || !isLoopback(request.socket.remoteAddress)) return;
    using limit = deadline(this.#deps.clock, Math.min(waitMs, longestWaitMs), signal);
    this.#waiting++;
    try {
      this.#looking ??= this.#look()
        .catch(() => undefined)
        .finally(() => {
          this.#looking = undefined;
        });
      await orAborted(this.#looking, limit.signal).catch(() => undefined);
    } finally {
      this.#waiting--;
    }
  }

  async #look(): Promise<void> {
    const { judge, terminating, clock } = this.#deps;
    while (this.#waiting > 0 && terminating() === undefined && !(await judge.judge()).ready) {
      await clock.delay(lookEveryMs);
    }
  }
}

/** @returns undefined where the caller does not want to wait */
function preferredWaitMs(prefer: string | readonly string[] | undefined): number | undefined {
  const seconds = /(?:^|[\s,;])wait="?(\d{1,6})"?(?:$|[\s,;])/i.exec(String(prefer ?? ""))?.[1];
  return seconds === undefined ? undefined : Number(seconds) * 1_000;
}
