// SPDX-License-Identifier: Apache-2.0
import type { WorkloadHealthConfig } from "./workload-health-config.ts";

/** A workload's health as it was last decided. */
export type WorkloadHealth = { readonly kind: "healthy" } | { readonly kind: "unhealthy"; readonly reason: string };

/** Decides from single attempts; one bad answer among good ones is no change, unless the thresholds say so. */
export class HealthTally {
  readonly #thresholds: Pick<WorkloadHealthConfig, "successThreshold" | "failureThreshold">;
  #healthy: boolean | undefined;
  #successes = 0;
  #failures = 0;

  constructor(thresholds: Pick<WorkloadHealthConfig, "successThreshold" | "failureThreshold">) {
    this.#thresholds = thresholds;
  }

  /**
   * @param failure why the attempt failed; undefined when it succeeded
   * @returns the health, when this attempt changed it
   */
  count(failure: string | undefined): WorkloadHealth | undefined {
    const { successThreshold, failureThreshold } = this.#thresholds;
    if (failure === undefined) {
      this.#failures = 0;
      if (++this.#successes < successThreshold || this.#healthy === true) return undefined;
      this.#healthy = true;
      return { kind: "healthy" };
    }
    this.#successes = 0;
    if (++this.#failures < failureThreshold || this.#healthy === false) return undefined;
    this.#healthy = false;
    return { kind: "unhealthy", reason: failure };
  }
}
