// SPDX-License-Identifier: Apache-2.0
export type { EnvoyCertificate, EnvoyCertificates, EnvoyServerInfo } from "./admin-answers.ts";
export type { EnvoyAdmin } from "./admin-client.ts";
export type { DrainReport, StopOrder, StopOutcome } from "./drain.ts";
export type { DrainConfig, EnvoyAdminAddress, EnvoyConfig, HotRestartConfig, RestartConfig } from "./envoy-config.ts";
export type { EnvoyEnd } from "./envoy-end.ts";
export { EnvoyAdminError, EnvoyExitedError, EnvoyMissingError } from "./envoy-errors.ts";
export { type EnvoyExit, exitCodeFor } from "./envoy-exit.ts";
export type { EnvoyProcess } from "./envoy-process.ts";
export { type SupervisedEnvoy, startEnvoy, type SwapOutcome } from "./envoy-supervisor.ts";
export type { OpenConnections } from "./open-connections.ts";

/** The part of this module that Envoy's exec need not wait for. */
export type RunningEnvoy = typeof import("./running-envoy.ts");

export async function loadRunningEnvoy(): Promise<RunningEnvoy> {
  return await import("./running-envoy.ts");
}
