// SPDX-License-Identifier: Apache-2.0
import { abortReason } from "./clock.ts";

/** Limits how many operations run at the same time. The others wait in the order of their calls. */
export class Semaphore {
  #free: number;
  readonly #waiting = new Set<() => void>();

  /** @param count how many may run at the same time */
  constructor(count: number) {
    this.#free = count;
  }

  /**
   * Waits until an operation may run. Dispose the result when the operation has ended; disposing it twice is harmless.
   * @throws the signal's reason when it aborts first
   */
  acquire(signal: AbortSignal): Promise<Disposable> {
    return new Promise((resolve, reject) => {
      const proceed = (): void => {
        this.#waiting.delete(proceed);
        signal.removeEventListener("abort", leave);
        resolve(this.#place());
      };
      const leave = (): void => {
        this.#waiting.delete(proceed);
        reject(abortReason(signal));
      };
      if (signal.aborted) leave();
      else if (this.#free > 0) {
        this.#free--;
        resolve(this.#place());
      } else {
        this.#waiting.add(proceed);
        signal.addEventListener("abort", leave, { once: true });
      }
    });
  }

  #place(): Disposable {
    let held = true;
    return {
      [Symbol.dispose]: () => {
        if (!held) return;
        held = false;
        const [next] = this.#waiting;
        if (next === undefined) this.#free++;
        else next();
      },
    };
  }
}
