// SPDX-License-Identifier: Apache-2.0
import type { WorkloadCheck } from "../../model/workload-check.ts";

/** When the workload is asked, for a control plane that registers it, and what its answers mean. */
export interface HealthCheckConfig extends WorkloadCheck {
  readonly initialDelayMs: number;
  readonly periodMs: number;
  /** Equal results in a row that make a change. */
  readonly successThreshold: number;
  readonly failureThreshold: number;
}
