// SPDX-License-Identifier: Apache-2.0
import type { Budget } from "../../lib/budget.ts";

/** The module that a URL led to. */
export interface KnownUrl {
  readonly checksum: string;
  readonly resourceVersion: string;
}

/** Which modules URLs without a checksum have led to. With more than the budget, the oldest is dropped. */
export class KnownUrls {
  readonly #urls = new Map<string, KnownUrl>();
  readonly #budget: Budget;

  constructor(budget: Budget) {
    this.#budget = budget;
  }

  get(url: string): KnownUrl | undefined {
    return this.#urls.get(url);
  }

  set(url: string, known: KnownUrl): void {
    const isNew = !this.#urls.delete(url);
    if (isNew && !this.#budget.tryTake()) {
      const [oldest = ""] = this.#urls.keys();
      this.#urls.delete(oldest);
    }
    this.#urls.set(url, known);
  }
}
