// SPDX-License-Identifier: Apache-2.0
import { shortenPeerText } from "../lib/printable-text.ts";

/** One present reason why the pod is not ready. */
export interface PendingHold {
  readonly name: string;
  readonly sinceMs: number;
  /** The last failure, or what is pending; one line. */
  readonly detail: string | undefined;
  /** False: shown with other reasons, but does not keep the pod unready. */
  readonly gates: boolean;
  /** Shown only, also in strict mode. */
  readonly isNote: boolean;
}

/** A named reason not to be ready. `set` and `release` may alternate; disposing releases it. */
export interface ReadinessHold extends Disposable {
  /** Holds readiness. Repeated calls update the detail and keep the time of the first. */
  set(detail?: string): void;
  release(): void;
}

type Kept = Omit<PendingHold, "gates"> & { readonly gates: () => boolean };

/** The holds of all modules. The pod is ready when none of them gates. */
export class Readiness {
  readonly #now: () => number;
  readonly #holds = new Map<string, Kept>();

  /** @param now wall clock in milliseconds */
  constructor(now: () => number) {
    this.#now = now;
  }

  /**
   * Adds a hold, in force at once. Holds with the same name are one hold.
   * @param gates called at each check: whether the hold keeps the pod unready, or is only shown
   */
  hold(name: string, detail?: string, gates: () => boolean = () => true): ReadinessHold {
    return this.#keep({ name, detail, gates, isNote: false });
  }

  /** Adds information that is shown with readiness and never gates it. */
  note(name: string, detail: string): ReadinessHold {
    return this.#keep({ name, detail, gates: () => false, isNote: true });
  }

  #keep({ name, detail, gates, isNote }: Omit<Kept, "sinceMs">): ReadinessHold {
    const set = (why?: string): void => {
      const sinceMs = this.#holds.get(name)?.sinceMs ?? this.#now();
      const kept = why === undefined ? undefined : shortenPeerText(why);
      this.#holds.set(name, { name, sinceMs, detail: kept, gates, isNote });
    };
    const release = (): void => {
      this.#holds.delete(name);
    };
    set(detail);
    return { set, release, [Symbol.dispose]: release };
  }

  /** Oldest first. */
  pending(): readonly PendingHold[] {
    return [...this.#holds.values()].map((hold) => ({ ...hold, gates: hold.gates() }));
  }
}
