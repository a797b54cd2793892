// SPDX-License-Identifier: Apache-2.0
import { type Clock, abortReason } from "../../src/lib/async/clock.ts";

interface Waiter {
  readonly atMs: number;
  readonly wake: () => void;
}

/** A clock that stands still until the test moves it. */
export class FakeClock implements Clock {
  #wallMs: number;
  #runningMs = 0;
  readonly #waiters = new Set<Waiter>();

  constructor(wallMs = Date.parse("2026-01-01T00:00:00Z")) {
    this.#wallMs = wallMs;
  }

  now(): number {
    return this.#wallMs;
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
      const onAbort = (): void => {
        this.#waiters.delete(waiter);
        if (signal !== undefined) reject(abortReason(signal));
      };
      const waiter: Waiter = {
        atMs: this.#runningMs + Math.max(0, ms),
        wake: () => {
          signal?.removeEventListener("abort", onAbort);
          resolve();
        },
      };
      this.#waiters.add(waiter);
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  /** Waits that nobody has ended yet, shortest first, in milliseconds from now. */
  get pendingDelaysMs(): readonly number[] {
    return [...this.#waiters].map((waiter) => waiter.atMs - this.#runningMs).sort((a, b) => a - b);
  }

  /** Lets time pass, waking waiters in the order of their times; code woken runs before the next is. */
  async advance(ms: number): Promise<void> {
    const endMs = this.#runningMs + ms;
    await settle();
    for (;;) {
      const next = [...this.#waiters].sort((a, b) => a.atMs - b.atMs)[0];
      if (next === undefined || next.atMs > endMs) break;
      this.#pass(next.atMs - this.#runningMs);
      this.#waiters.delete(next);
      next.wake();
      await settle();
    }
    this.#pass(endMs - this.#runningMs);
  }

  /** Moves the wall clock alone, as an administrator or a suspended machine does. */
  jump(ms: number): void {
    this.#wallMs += ms;
  }

  #pass(ms: number): void {
    this.#runningMs += ms;
    this.#wallMs += ms;
  }
}

/** Runs everything that is ready to run, without time passing. */
async function settle(): Promise<void> {
  for (let turn = 0; turn < 3; turn++) await new Promise((resolve) => setImmediate(resolve));
}
