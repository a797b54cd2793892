// SPDX-License-Identifier: Apache-2.0

/** Carries out pieces of work one after the other, in the order in which they were asked for. A failure holds up nobody. */
export class SerialQueue {
  #last: Promise<unknown> = Promise.resolve();

  /** @throws what the work throws */
  run<T>(work: () => Promise<T>): Promise<T> {
    const done = this.#last.then(work);
    this.#last = done.catch(() => undefined);
    return done;
  }
}
