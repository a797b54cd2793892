// SPDX-License-Identifier: Apache-2.0

/** One reason why the pod is not ready, as it stands now. */
export interface PendingHold {
  readonly name: string;
  readonly sinceMs: number;
  /** What went wrong last, or what is waited for; one line. */
  readonly detail: string | undefined;
  /** False: worth telling beside other reasons, but no reason of its own. */
  readonly gates: boolean;
  /** Only ever told, however strict readiness is. */
  readonly isNote: boolean;
}

/** A named reason not to be ready. Disposing it releases it for good; `set` and `release` may alternate before. */
export interface ReadinessHold extends Disposable {
  /** Holds readiness, with what is known about the cause. The time of the first of several calls in a row is kept. */
  set(detail?: string): void;
  release(): void;
}

type Kept = Omit<PendingHold, "gates"> & { readonly gates: () => boolean };

/** Ready means that nobody holds whose hold gates. */
export class Readiness {
  readonly #now: () => number;
  readonly #holds = new Map<string, Kept>();

  /** @param now wall clock in milliseconds */
  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * A hold that is in force from now on. Names are unique; the same name twice is the same hold.
   * @param gates asked at each look: whether the hold keeps the pod unready, or is only told
   */
  hold(name: string, detail?: string, gates: () => boolean = () => true): ReadinessHold {
    return this.#keep({ name, detail, gates, isNote: false });
  }

  /** Something to tell beside readiness that never gates it, from now on. */
  note(name: string, detail: string): ReadinessHold {
    return this.#keep({ name, detail, gates: () => false, isNote: true });
  }

  #keep({ name, detail, gates, isNote }: Omit<Kept, "sinceMs">): ReadinessHold {
    const set = (why?: string): void => {
      const sinceMs = this.#holds.get(name)?.sinceMs ?? this.#now();
      this.#holds.set(name, { name, sinceMs, detail: why, gates, isNote });
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
