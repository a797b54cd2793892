// SPDX-License-Identifier: Apache-2.0
import type { LogLevels, LogThreshold } from "./log.ts";

/** The log's levels as they are configured, and as somebody has changed them for now. */
export class LogLevelSwitch {
  readonly #configured: LogLevels;
  #inForce: LogLevels;
  readonly #overrides = new Map<string, LogThreshold>();

  constructor(configured: LogLevels) {
    this.#configured = configured;
    this.#inForce = configured;
  }

  /** By scope; `default` is that of the scopes not named. */
  read(): LogLevels {
    return this.#inForce;
  }

  /** Sets a scope's level over the configured one; undefined, or a word that is no level, returns to that. */
  override(scope: string, level: string | undefined): void {
    const threshold = thresholds.find((known) => known === level);
    if (threshold === undefined) this.#overrides.delete(scope);
    else this.#overrides.set(scope, threshold);
    this.#inForce = new Map([...this.#configured, ...this.#overrides]);
  }
}

const thresholds: readonly LogThreshold[] = ["debug", "info", "warn", "error", "none"];
