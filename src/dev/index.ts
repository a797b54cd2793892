// SPDX-License-Identifier: Apache-2.0
export type { ProgramCommand } from "./agent-process.ts";
export type { DevConfig, DevDeps, DevFault } from "./dev-config.ts";
export { enterUserNamespace, runWorkloadProcess, workloadVariable } from "./capture/index.ts";
export { devFaults } from "./dev-config.ts";
export { findEnvoy, findInstalledEnvoy, isProgram } from "./find-envoy.ts";
export { screenFor } from "./progress.ts";
export { runDev } from "./run-dev.ts";
