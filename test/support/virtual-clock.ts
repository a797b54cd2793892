// SPDX-License-Identifier: Apache-2.0
import { abortReason, type Clock } from "../../src/lib/async/clock.ts";

interface Waiter {
  readonly atMs: number;
  /** Keeps waiters of one moment in the order in which they came. */
  readonly order: number;
  readonly wake: () => void;
}

/** A clock for simulations of months: it jumps from one waiter to the next. */
export class VirtualClock implements Clock {
  #nowMs = Date.parse("2026-01-01T00:00:00Z");
  #runningMs = 0;
  #order = 0;
  /** A heap by time, then by order; those that gave up are left in it and skipped. */
  readonly #heap: Waiter[] = [];

  now(): number {
    return this.#nowMs;
  }

  monotonicMs(): number {
    return this.#runningMs;
  }

  delay(ms: number, signal?: AbortSignal): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) {
        reject(abortReason(signal));
        return;
      }
      let isOver = false;
      const onAbort = (): void => {
        isOver = true;
        if (signal !== undefined) reject(abortReason(signal));
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#push({
        atMs: this.#runningMs + Math.max(0, ms),
        order: this.#order++,
        wake: () => {
          if (isOver) return;
          signal?.removeEventListener("abort", onAbort);
          resolve();
        },
      });
    });
  }

  /** Lets time pass to the next waiter and wakes it. @returns false when nobody waits */
  step(): boolean {
    const next = this.#pop();
    if (next === undefined) return false;
    const passedMs = next.atMs - this.#runningMs;
    this.#runningMs += passedMs;
    this.#nowMs += passedMs;
    next.wake();
    return true;
  }

  #push(waiter: Waiter): void {
    const heap = this.#heap;
    let at = heap.push(waiter) - 1;
    while (at > 0) {
      const up = (at - 1) >> 1;
      const parent = heap[up];
      if (parent === undefined || isBefore(parent, waiter)) break;
      heap[at] = parent;
      at = up;
    }
    heap[at] = waiter;
  }

  #pop(): Waiter | undefined {
    const heap = this.#heap;
    const first = heap[0];
    const last = heap.pop();
    if (first === undefined || last === undefined || heap.length === 0) return first;
    let at = 0;
    for (;;) {
      const [left, right] = [heap[2 * at + 1], heap[2 * at + 2]];
      const [child, index] =
        right !== undefined && left !== undefined && isBefore(right, left) ? [right, 2 * at + 2] : [left, 2 * at + 1];
      if (child === undefined || isBefore(last, child)) break;
      heap[at] = child;
      at = index;
    }
    heap[at] = last;
    return first;
  }
}

function isBefore(a: Waiter, b: Waiter): boolean {
  return a.atMs < b.atMs || (a.atMs === b.atMs && a.order < b.order);
}

/** Uniform numbers in [0, 1) that are the same for the same seed. Source: the mulberry32 generator */
export function seededRandom(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
