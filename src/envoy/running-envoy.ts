// SPDX-License-Identifier: Apache-2.0
// What is asked of an Envoy that runs, and how it is ended. Loaded by the module's face, after Envoy's exec.
export { createEnvoyAdmin } from "./admin-client.ts";
export { drainAndStop } from "./drain.ts";
export { explainEnd } from "./envoy-end.ts";
export { describeExit } from "./envoy-exit.ts";
export { readEnvoyReadiness } from "./envoy-readiness.ts";
export { readInitTargets } from "./init-targets.ts";
export { ListenerSockets } from "./listener-sockets.ts";
export { SocketConnections } from "./socket-connections.ts";
export { validateBootstrap } from "./validation.ts";
