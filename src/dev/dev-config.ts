// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";
import type { ProgramCommand } from "./agent-process.ts";
import type { Screen } from "./progress.ts";

/** What is broken on purpose, so that a test sees the proof fail. */
export type DevFault = "none" | "ca-down" | "foreign-ca";

export const devFaults: readonly DevFault[] = ["none", "ca-down", "foreign-ca"];

/**
 * How Envoy gets its resources: over ADS, through its agent, from a control plane inside this command; or from files
 * that it reads itself.
 */
export type ResourceDelivery = "ads" | "files";

export interface DevConfig {
  /** Ends after the proof; else the mesh stays up until it is stopped. */
  readonly once: boolean;
  /** The report as one JSON object instead of text. */
  readonly json: boolean;
  /** The directory to work in and to leave behind; undefined takes a temporary one. */
  readonly keepDirectory: string | undefined;
  readonly fault: DevFault;
  /** Envoy's readable resources, one folder for each workload. */
  readonly resourcesDirectory: string;
  readonly delivery: ResourceDelivery;
  readonly envoyPath: string;
  readonly program: ProgramCommand;
  /** Of this process. */
  readonly env: Readonly<Record<string, string>>;
  /** Until both workloads must be ready. */
  readonly readyWithinMs: number;
  /** Until both certificates must have been replaced, once the workloads are ready. */
  readonly rotationWithinMs: number;
}

export interface DevDeps {
  readonly clock: Clock;
  /** Where the JSON report goes. */
  readonly print: (text: string) => void;
  /** Where people look. */
  readonly screen: Screen;
}
