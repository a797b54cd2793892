// SPDX-License-Identifier: Apache-2.0
// The part of this module that is used while Envoy runs. It is loaded after Envoy's exec.
export { createEnvoyAdmin } from "./admin-client.ts";
export { drainAndStop } from "./drain.ts";
export { describeExit } from "./envoy-exit.ts";
export { readEnvoyReadiness, readInitTargets } from "./envoy-readiness.ts";
export { diagnoseExit } from "./exit-diagnosis.ts";
export { readLogLevels, setLogLevels } from "./log-levels.ts";
export { reopenEnvoyLogs } from "./log-reopening.ts";
export { ListenerSockets } from "./listener-sockets.ts";
export { SocketConnections } from "./socket-connections.ts";
export { validateBootstrap } from "./validation.ts";
