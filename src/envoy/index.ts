// SPDX-License-Identifier: Apache-2.0
export type { EnvoyAdmin } from "./admin-client.ts";
export type {
  EnvoyCertificate,
  EnvoyCertificates,
  EnvoyServerInfo,
  EnvoyTraffic,
  OpenConnections,
} from "./admin-responses.ts";
export type { DrainReport, StopOrder, StopOutcome } from "./drain.ts";
export type { DrainConfig, EnvoyConfig, HotRestartConfig, RestartConfig } from "./envoy-config.ts";
export { EnvoyAdminError, EnvoyExitedError, EnvoyMissingError, PortsTakenError } from "./envoy-errors.ts";
export { type EnvoyExit, exitCodeFor } from "./envoy-exit.ts";
export type { EnvoyProcess } from "./envoy-process.ts";
export { type HotRestartOutcome, type SupervisedEnvoy, startEnvoy } from "./envoy-supervisor.ts";
export type { ExitDiagnosis } from "./exit-diagnosis.ts";

export type { WantedAddress } from "./taken-ports.ts";

/** Loads the check of Envoy's ports. */
export async function loadTakenPorts(): Promise<typeof import("./taken-ports.ts")> {
  return await import("./taken-ports.ts");
}

export type RunningEnvoy = typeof import("./running-envoy.ts");

/** Loads the part of this module that Envoy's exec must not wait for. */
export async function loadRunningEnvoy(): Promise<RunningEnvoy> {
  return await import("./running-envoy.ts");
}
