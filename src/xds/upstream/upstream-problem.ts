// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../../lib/async/clock.ts";
import type { ConnectProgress } from "../../lib/grpc/connect-progress.ts";
import type { RejectedCredential } from "../../model/token-advice.ts";

/** A control plane that does not respond is named after so long. */
export const slowMs = 1_000;

/** Why nothing comes from the control plane, in one line with what to do about it. Shared by all streams of a proxy. */
export class UpstreamProblem {
  readonly #clock: Clock;
  #text: string | undefined;
  #attempt: { readonly address: string; readonly sinceMs: number; readonly progress: ConnectProgress } | undefined;
  /** What the last connection presented. */
  credential: Omit<RejectedCredential, "nowMs"> | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  connecting(address: string, progress: ConnectProgress): void {
    this.#attempt = { address, progress, sinceMs: this.#clock.monotonicMs() };
  }

  failed(text: string): void {
    this.#text = text;
  }

  works(): void {
    this.#text = undefined;
    this.#attempt = undefined;
  }

  /** Undefined while it responds, and while there is nothing to say yet. */
  get text(): string | undefined {
    if (this.#text !== undefined || this.#attempt === undefined) return this.#text;
    return this.#clock.monotonicMs() - this.#attempt.sinceMs < slowMs ? undefined : this.waiting;
  }

  /** What the control plane has not done yet; undefined when it responds. */
  get waiting(): string | undefined {
    if (this.#attempt === undefined) return undefined;
    const { address, progress } = this.#attempt;
    return `the control plane at ${address} ${progress.text()}`;
  }
}
