// SPDX-License-Identifier: Apache-2.0

/**
 * Lets work that can wait begin one piece in each turn of the event loop, so that a probe which arrives meanwhile is
 * answered after one piece, however many of them wait.
 */
export class Turns {
  readonly #waiting: (() => void)[] = [];

  /** Resolves when it is one's turn, in the order of the calls. */
  next(): Promise<void> {
    return new Promise((resolve) => {
      this.#waiting.push(resolve);
      if (this.#waiting.length === 1) setImmediate(this.#begin);
    });
  }

  readonly #begin = (): void => {
    const [resolve] = this.#waiting;
    resolve?.();
    this.#waiting.shift();
    if (this.#waiting.length > 0) setImmediate(this.#begin);
  };
}
