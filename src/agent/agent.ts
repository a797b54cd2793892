// SPDX-License-Identifier: Apache-2.0
import type { AgentConfig } from "../config/agent-config.ts";
import { renderBootstrap, writeBootstrap } from "../bootstrap/index.ts";
import { startEnvoy } from "../envoy/index.ts";
import type { Clock } from "../lib/clock.ts";
import type { Logger } from "../lib/log.ts";
import { listenUnix } from "../lib/unix-socket.ts";
import { StartPhases } from "./start-phases.ts";

export interface AgentDeps {
  readonly log: Logger;
  readonly clock: Clock;
  readonly random: () => number;
  /** Loads the log's writer; called when Envoy runs. */
  readonly loadLog: () => Promise<void>;
}

export interface AgentSignals {
  /** Ends the agent in order. */
  readonly stop: AbortSignal;
  /** Ends it at once. */
  readonly force: AbortSignal;
}

/**
 * Runs the agent until Envoy is gone. The order of the lines is the order of the start; nothing that can wait stands
 * before Envoy's exec, and what serves Envoy is loaded after it, while Envoy starts.
 * @returns the exit code: Envoy's, or 0 after an orderly stop
 * @throws AgentError when the start fails or a room's server dies; Envoy is gone by then
 */
export async function runAgent(config: AgentConfig, deps: AgentDeps, signals: AgentSignals): Promise<number> {
  const phases = new StartPhases(deps.log, deps.clock);
  await using sdsSocket = await listenUnix({ path: config.sds.socketPath, mode: config.sds.socketMode });
  if (config.bootstrap.kind === "generated") {
    writeBootstrap(config.bootstrap.path, renderBootstrap(config.bootstrap.config));
  }
  await using envoy = startEnvoy(config.envoy, deps);
  phases.end("envoy started");
  const { serveEnvoy } = await import("./serve-envoy.ts");
  return await serveEnvoy({ config, envoy, sdsSocket, phases }, deps, signals);
}
