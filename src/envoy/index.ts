// SPDX-License-Identifier: Apache-2.0
export type { EnvoyCertificate, EnvoyCertificates, EnvoyServerInfo } from "./admin-answers.ts";
export { createEnvoyAdmin, type EnvoyAdmin } from "./admin-client.ts";
export { type DrainReport, drainAndStop, type StopOrder, type StopOutcome } from "./drain.ts";
export type { DrainConfig, EnvoyAdminAddress, EnvoyConfig, HotRestartConfig, RestartConfig } from "./envoy-config.ts";
export { type EnvoyEnd, explainEnd } from "./envoy-end.ts";
export { EnvoyAdminError, EnvoyExitedError, EnvoyMissingError } from "./envoy-errors.ts";
export { describeExit, type EnvoyExit, exitCodeFor } from "./envoy-exit.ts";
export type { EnvoyProcess } from "./envoy-process.ts";
export { type EnvoyReadiness, type EnvoyState, readEnvoyReadiness } from "./envoy-readiness.ts";
export { type SupervisedEnvoy, startEnvoy, type SwapOutcome } from "./envoy-supervisor.ts";
export { readInitTargets } from "./init-targets.ts";
export { ListenerSockets, type ListenerStanding } from "./listener-sockets.ts";
export type { OpenConnections } from "./open-connections.ts";
export { SocketConnections } from "./socket-connections.ts";
