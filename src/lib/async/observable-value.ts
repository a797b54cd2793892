// SPDX-License-Identifier: Apache-2.0

/**
 * A value that changes over time, with any number of readers. A slow reader misses values in between, never the last.
 */
export class ObservableValue<T> {
  #current: T | undefined;
  #version = 0;
  #wake = new Set<() => void>();

  constructor(initial?: T) {
    if (initial !== undefined) this.set(initial);
  }

  /** The value last set, or undefined before the first. */
  get current(): T | undefined {
    return this.#current;
  }

  set(value: T): void {
    this.#current = value;
    this.#version++;
    const wake = this.#wake;
    this.#wake = new Set();
    for (const resolve of wake) resolve();
  }

  /** Yields the current value as soon as there is one, then every later one, until the signal aborts. */
  async *watch(signal: AbortSignal): AsyncGenerator<T, void, undefined> {
    let seen = 0;
    while (!signal.aborted) {
      if (this.#version !== seen && this.#current !== undefined) {
        seen = this.#version;
        yield this.#current;
      } else {
        await this.#changed(signal);
      }
    }
  }

  #changed(signal: AbortSignal): Promise<void> {
    return new Promise((resolve) => {
      const done = (): void => {
        this.#wake.delete(done);
        signal.removeEventListener("abort", done);
        resolve();
      };
      this.#wake.add(done);
      signal.addEventListener("abort", done, { once: true });
      if (signal.aborted) done();
    });
  }
}
