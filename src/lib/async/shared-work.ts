// SPDX-License-Identifier: Apache-2.0
import { orAborted } from "./tasks.ts";

interface Shared<T> {
  readonly result: Promise<T>;
  readonly stop: AbortController;
  callers: number;
}

/** Equal requests that run at the same time share one piece of work. It is stopped when the last caller has left. */
export class SharedWork<T> {
  readonly #running = new Map<string, Shared<T>>();

  /**
   * @param key of equal requests
   * @param work is called unless such a request is under way
   * @throws what the work throws; the signal's reason
   */
  async run(key: string, work: (stop: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T> {
    const shared = this.#running.get(key) ?? this.#begin(key, work);
    shared.callers++;
    try {
      return await orAborted(shared.result, signal);
    } finally {
      shared.callers--;
      if (shared.callers === 0) this.#end(key, shared);
    }
  }

  #begin(key: string, work: (stop: AbortSignal) => Promise<T>): Shared<T> {
    const stop = new AbortController();
    const shared: Shared<T> = { result: work(stop.signal), stop, callers: 0 };
    this.#running.set(key, shared);
    const ended = (): void => {
      if (this.#running.get(key) === shared) this.#running.delete(key);
    };
    shared.result.then(ended, ended);
    return shared;
  }

  #end(key: string, shared: Shared<T>): void {
    // the work is over
    if (this.#running.get(key) !== shared) return;
    this.#running.delete(key);
    shared.stop.abort(new Error("all callers have left"));
  }
}
