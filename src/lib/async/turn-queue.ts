// SPDX-License-Identifier: Apache-2.0
import { loopbackPeer } from "./fair-slots.ts";

/**
 * Starts one piece of work in each turn of the event loop, so that short work overtakes it. Callers on loopback come
 * first; the other peers take turns.
 */
export class TurnQueue {
  readonly #waiting = new Map<string, (() => void)[]>();
  #isScheduled = false;

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
      this.#startOne();
      this.#schedule();
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
