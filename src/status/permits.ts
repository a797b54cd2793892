// SPDX-License-Identifier: Apache-2.0

/** Lets a few go on at a time; the others wait in the order in which they came. */
export class Permits {
  #free: number;
  readonly #waiting = new Set<() => void>();

  constructor(count: number) {
    this.#free = count;
  }

  /** Resolves with a permit; disposing it, at the latest when the work is done, lets the next one go on. */
  acquire(signal: AbortSignal): Promise<Disposable> {
    return new Promise((resolve, reject) => {
      const go = (): void => {
        this.#waiting.delete(go);
        signal.removeEventListener("abort", giveUp);
        resolve(this.#permit());
      };
      const giveUp = (): void => {
        this.#waiting.delete(go);
        reject(new Error("nobody waits for the answer any more"));
      };
      if (signal.aborted) giveUp();
      else if (this.#free > 0) {
        this.#free--;
        resolve(this.#permit());
      } else {
        this.#waiting.add(go);
        signal.addEventListener("abort", giveUp, { once: true });
      }
    });
  }

  #permit(): Disposable {
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
