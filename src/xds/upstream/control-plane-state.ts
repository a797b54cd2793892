// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../../lib/async/clock.ts";

/** The connection to the control plane. Times are milliseconds since the epoch. */
export interface ControlPlaneStatus {
  /** Of the last connection; undefined before the first. */
  readonly address: string | undefined;
  /** Whether a stream to it is open. */
  readonly connected: boolean;
  /** When that became so; undefined before the first attempt. */
  readonly sinceMs: number | undefined;
  readonly lastResponseAtMs: number | undefined;
  /** Also after a later success. */
  readonly lastFailure: { readonly atMs: number; readonly reason: string } | undefined;
}

/** How the connections of all streams to the control plane go, for the status page. */
export class ControlPlaneState {
  readonly #clock: Pick<Clock, "now">;
  #address: string | undefined;
  #open = 0;
  #sinceMs: number | undefined;
  #lastResponseAtMs: number | undefined;
  #lastFailure: ControlPlaneStatus["lastFailure"];

  constructor(clock: Pick<Clock, "now">) {
    this.#clock = clock;
  }

  get status(): ControlPlaneStatus {
    return {
      address: this.#address,
      connected: this.#open > 0,
      sinceMs: this.#sinceMs,
      lastResponseAtMs: this.#lastResponseAtMs,
      lastFailure: this.#lastFailure,
    };
  }

  /** A stream is open until the returned value is disposed. */
  opened(address: string): Disposable {
    this.#address = address;
    if (this.#open++ === 0) this.#sinceMs = this.#clock.now();
    return {
      [Symbol.dispose]: () => {
        if (--this.#open === 0) this.#sinceMs = this.#clock.now();
      },
    };
  }

  responded(): void {
    this.#lastResponseAtMs = this.#clock.now();
  }

  failed(reason: string): void {
    this.#lastFailure = { atMs: this.#clock.now(), reason };
    if (this.#open === 0) this.#sinceMs ??= this.#clock.now();
  }
}
