// SPDX-License-Identifier: Apache-2.0

/** One reason why the pod is not ready, as it stands now. */
export interface PendingHold {
  readonly name: string;
  readonly sinceMs: number;
  /** What went wrong last, or what is waited for; one line. */
  readonly detail: string | undefined;
  /** False: worth telling beside other reasons, but no reason of its own. */
  readonly gates: boolean;
}

/** A named reason not to be ready. Disposing it releases it for good; `set` and `release` may alternate before. */
export interface ReadinessHold extends Disposable {
  /** Holds readiness, with what is known about the cause. The time of the first of several calls in a row is kept. */
  set(detail?: string): void;
  release(): void;
}

/** Ready means that nobody holds whose hold gates. */
export class Readiness {
  readonly #now: () => number;
  readonly #holds = new Map<string, Omit<PendingHold, "gates"> & { readonly gates: () => boolean }>();

  /** @param now wall clock in milliseconds */
  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * A hold that is in force from now on. Names are unique; the same name twice is the same hold.
   * @param gates asked at each look: whether the hold keeps the pod unready, or is only told
   */
  hold(name: string, detail?: string, gates: () => boolean = () => true): ReadinessHold {
    const set = (why?: string): void => {
      const sinceMs = this.#holds.get(name)?.sinceMs ?? this.#now();
      this.#holds.set(name, { name, sinceMs, detail: why, gates });
    };
    const release = (): void => {
      this.#holds.delete(name);
    };
    set(detail);
    return { set, release, [Symbol.dispose]: release };
  }

  /** What the pod still waits for, oldest first; ready when none of it gates. */
  pending(): readonly PendingHold[] {
    return [...this.#holds.values()].map((hold) => ({ ...hold, gates: hold.gates() }));
  }
}
