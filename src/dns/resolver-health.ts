// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";
import { shuffled } from "./local-response.ts";

/** How long a resolver that failed is asked after the others. */
const memoryMs = 30_000;

/** Remembers which resolvers did not answer lately, so that not each question waits for them. */
export class ResolverHealth {
  readonly #clock: Pick<Clock, "monotonicMs">;
  readonly #random: () => number;
  readonly #failedAtMs = new Map<string, number>();

  constructor(deps: { readonly clock: Pick<Clock, "monotonicMs">; readonly random: () => number }) {
    this.#clock = deps.clock;
    this.#random = deps.random;
  }

  failed(host: string): void {
    this.#failedAtMs.set(host, this.#clock.monotonicMs());
  }

  answered(host: string): void {
    this.#failedAtMs.delete(host);
  }

  /** In an order of chance, but those that failed lately come last. */
  order(hosts: readonly string[]): readonly string[] {
    const nowMs = this.#clock.monotonicMs();
    for (const [host, atMs] of this.#failedAtMs) if (nowMs - atMs >= memoryMs) this.#failedAtMs.delete(host);
    const mixed = shuffled(hosts, this.#random);
    return [
      ...mixed.filter((host) => !this.#failedAtMs.has(host)),
      ...mixed.filter((host) => this.#failedAtMs.has(host)),
    ];
  }
}
