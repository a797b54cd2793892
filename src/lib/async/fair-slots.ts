// SPDX-License-Identifier: Apache-2.0
import type { Budget } from "../budget.ts";
import { abortReason, type Clock } from "./clock.ts";

export interface FairSlotsOptions {
  /** How many pieces of work for peers may run at a time, and as many again for callers on loopback. */
  readonly slots: number;
  /** For work that waits for a slot. */
  readonly waiting: Budget;
  /** Work that has run for so long is asked to end when other work waits. */
  readonly fairMs: number;
  readonly clock: Pick<Clock, "monotonicMs" | "delay">;
}

/** Permission to run. Disposing it lets other work run; disposing it twice is harmless. */
export interface Slot extends Disposable {
  /** Aborts when the work should end, because other work waits and this has had its share. */
  readonly preempted: AbortSignal;
}

interface Running {
  readonly peer: string;
  readonly startedMs: number;
  readonly preempted: AbortController;
}

interface Waiting {
  readonly peer: string;
  readonly start: (slot: Slot) => void;
  readonly reject: (error: Error) => void;
}

/** The peer of all callers on loopback: no other work delays theirs. */
export const loopbackPeer = "loopback";

/**
 * Shares slots between peers: the peer that has the fewest runs next, and the peer that has the most gives way. A peer
 * with many requests delays its own, not those of the others.
 */
export class FairSlots implements Disposable {
  readonly #options: FairSlotsOptions;
  /** In the order of their start. */
  readonly #running = new Set<Running>();
  /** In the order of their requests. */
  readonly #waiting = new Set<Waiting>();
  #pressing = false;
  readonly #stop = new AbortController();

  constructor(options: FairSlotsOptions) {
    this.#options = options;
  }

  /**
   * Waits for a slot.
   * @throws BudgetSpentError when too much work waits; the signal's reason when it aborts first
   */
  acquire(peer: string, signal: AbortSignal): Promise<Slot> {
    return new Promise((resolve, reject) => {
      if (signal.aborted) {
        reject(abortReason(signal));
        return;
      }
      if (this.#hasFree(peer)) {
        resolve(this.#start(peer));
        return;
      }
      const leave = (): void => {
        this.#remove(waiting);
        reject(abortReason(signal));
      };
      const waiting: Waiting = {
        peer,
        start: (slot) => {
          signal.removeEventListener("abort", leave);
          resolve(slot);
        },
        reject: (error) => {
          signal.removeEventListener("abort", leave);
          reject(error);
        },
      };
      signal.addEventListener("abort", leave, { once: true });
      this.#enqueue(waiting);
    });
  }

  /** Stops what lets work give way. */
  [Symbol.dispose](): void {
    this.#stop.abort(new Error("stopped"));
  }

  #hasFree(peer: string): boolean {
    const isLocal = peer === loopbackPeer;
    let used = 0;
    for (const running of this.#running) if ((running.peer === loopbackPeer) === isLocal) used++;
    return used < this.#options.slots;
  }

  #start(peer: string): Slot {
    const running = { peer, startedMs: this.#options.clock.monotonicMs(), preempted: new AbortController() };
    this.#running.add(running);
    return {
      preempted: running.preempted.signal,
      [Symbol.dispose]: () => {
        if (this.#running.delete(running)) this.#startNext();
      },
    };
  }

  #enqueue(waiting: Waiting): void {
    const { waiting: budget } = this.#options;
    this.#waiting.add(waiting);
    if (!budget.tryTake()) {
      // the space of the one that is rejected passes to this one
      const victim = this.#oldestOfHeaviest(this.#waiting) ?? waiting;
      this.#waiting.delete(victim);
      victim.reject(budget.spentError());
    }
    if (waiting.peer !== loopbackPeer) void this.#press();
  }

  #remove(waiting: Waiting): void {
    if (this.#waiting.delete(waiting)) this.#options.waiting.release();
  }

  #startNext(): void {
    if (this.#waiting.size === 0) return;
    const counts = countPeers(this.#running);
    const [localIsFree, othersAreFree] = [this.#hasFree(loopbackPeer), this.#hasFree("")];
    let next: Waiting | undefined;
    for (const waiting of this.#waiting) {
      if (!(waiting.peer === loopbackPeer ? localIsFree : othersAreFree)) continue;
      if (next === undefined || (counts.get(waiting.peer) ?? 0) < (counts.get(next.peer) ?? 0)) next = waiting;
    }
    if (next === undefined) return;
    this.#remove(next);
    next.start(this.#start(next.peer));
  }

  /** While work waits: lets the peer with the most slots give way at once, and any work that had its share. */
  async #press(): Promise<void> {
    if (this.#pressing) return;
    this.#pressing = true;
    const { clock, fairMs } = this.#options;
    while (!this.#stop.signal.aborted && [...this.#waiting].some(({ peer }) => peer !== loopbackPeer)) {
      this.#pressOnce();
      await clock.delay(fairMs / 4, this.#stop.signal).catch(() => undefined);
    }
    this.#pressing = false;
  }

  #pressOnce(): void {
    const { clock, fairMs } = this.#options;
    const others = [...this.#running].filter(({ peer }) => peer !== loopbackPeer);
    if (others.some(({ preempted }) => preempted.signal.aborted)) return;
    const counts = countPeers(others);
    const fewest = Math.min(...[...this.#waiting].map(({ peer }) => counts.get(peer) ?? 0));
    const heaviest = this.#oldestOfHeaviest(new Set(others));
    const [oldest] = others;
    const gaining = heaviest !== undefined && (counts.get(heaviest.peer) ?? 0) > fewest + 1;
    const over = oldest !== undefined && clock.monotonicMs() - oldest.startedMs >= fairMs;
    const chosen = gaining ? heaviest : over ? oldest : undefined;
    chosen?.preempted.abort(new Error("other work waits"));
  }

  /** Work for loopback is chosen only when there is no other. */
  #oldestOfHeaviest<T extends { readonly peer: string }>(all: ReadonlySet<T>): T | undefined {
    const counts = countPeers(all);
    let found: T | undefined;
    let most = 0;
    for (const item of all) {
      const count = item.peer === loopbackPeer ? 0 : (counts.get(item.peer) ?? 0);
      if (count <= most && found !== undefined) continue;
      most = count;
      found = item;
    }
    return found;
  }
}

function countPeers(items: Iterable<{ readonly peer: string }>): ReadonlyMap<string, number> {
  const counts = new Map<string, number>();
  for (const { peer } of items) counts.set(peer, (counts.get(peer) ?? 0) + 1);
  return counts;
}
