// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";
import type { ProgramCommand } from "./agent-process.ts";
import type { Screen } from "./progress.ts";

/** A fault that is injected to make a proof fail. */
export type DevFault = "none" | "ca-down" | "foreign-ca";

export const devFaults: readonly DevFault[] = ["none", "ca-down", "foreign-ca"];

/**
 * How Envoy gets its resources: over ADS, through its agent, from a control plane inside this command; or from files
 * that it reads itself.
 */
export type ResourceDelivery = "ads" | "files";

export interface CaptureConfig {
  /** This process is in a user namespace of its own, so that others have to enter it too. */
  readonly userNamespace: boolean;
}

export interface DevConfig {
  /** Exits after the proof. Otherwise the mesh runs until it is stopped. */
  readonly once: boolean;
  /** Prints the report as one JSON object. */
  readonly json: boolean;
  /** The directory to use and to keep; undefined creates a temporary one. */
  readonly keepDirectory: string | undefined;
  readonly fault: DevFault;
  /** The resource files, one directory for each workload. */
  readonly resourcesDirectory: string;
  readonly delivery: ResourceDelivery;
  /** Gives each workload a network namespace with captured traffic; undefined: they share loopback. */
  readonly capture: CaptureConfig | undefined;
  readonly envoyPath: string;
  readonly program: ProgramCommand;
  /** Of this process. */
  readonly env: Readonly<Record<string, string>>;
  /** The time limit for both workloads to be ready. */
  readonly readyWithinMs: number;
  /** The time limit for the rotation, once the workloads are ready. */
  readonly rotationWithinMs: number;
}

export interface DevDeps {
  readonly clock: Clock;
  /** Prints the JSON report. */
  readonly print: (text: string) => void;
  /** Shows progress and results. */
  readonly screen: Screen;
}
