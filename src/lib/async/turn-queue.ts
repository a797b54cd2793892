// SPDX-License-Identifier: Apache-2.0
import { loopbackPeer } from "./fair-slots.ts";

/** Short work shares a turn: none starts when it has taken so long. */
const sliceMs = 0.25;

/** Work is put off for so many turns in a row at most. */
const longestDelayTurns = 20;

/**
 * Starts one piece of work in each turn of the event loop, or several short ones, so that what is urgent overtakes them.
 * Callers on loopback come first; the other peers take turns.
 */
export class TurnQueue {
  readonly #waiting = new Map<string, (() => void)[]>();
  #isScheduled = false;
  #isDelayed = false;
  #delayedTurns = 0;

  /** Something more urgent than all this work happened in this turn: none starts in it. */
  delay(): void {
    this.#isDelayed = true;
  }

  /** Resolves when it is this caller's turn. */
  turn(peer: string): Promise<void> {
    return new Promise((resolve) => {
      const waiting = this.#waiting.get(peer);
      if (waiting === undefined) this.#waiting.set(peer, [resolve]);
      else waiting.push(resolve);
      this.#schedule();
    });
  }

  #schedule(): void {
    if (this.#isScheduled || this.#waiting.size === 0) return;
    this.#isScheduled = true;
    setImmediate(() => {
      this.#isScheduled = false;
      const isDelayed = this.#isDelayed && this.#delayedTurns < longestDelayTurns;
      this.#isDelayed = false;
      this.#delayedTurns = isDelayed ? this.#delayedTurns + 1 : 0;
      if (isDelayed) this.#schedule();
      else this.#startSome(performance.now() + sliceMs);
    });
  }

  #startSome(untilMs: number): void {
    this.#startOne();
    // it runs as far as it can before the next tick
    queueMicrotask(() => {
      process.nextTick(() => {
        if (this.#isScheduled || this.#waiting.size === 0) return;
        if (performance.now() < untilMs) this.#startSome(untilMs);
        else this.#schedule();
      });
    });
  }

  #startOne(): void {
    const [first = loopbackPeer] = this.#waiting.keys();
    const peer = this.#waiting.has(loopbackPeer) ? loopbackPeer : first;
    const waiting = this.#waiting.get(peer) ?? [];
    this.#waiting.delete(peer);
    const [start, ...rest] = waiting;
    if (rest.length > 0) this.#waiting.set(peer, rest);
    start?.();
  }
}
