// SPDX-License-Identifier: Apache-2.0
import type { AgentConfig } from "../config/agent-config.ts";
import type { EnvoyAdmin, SupervisedEnvoy } from "../envoy/index.ts";
import { describeError } from "../lib/errors.ts";
import type { UnixListener } from "../lib/unix-socket.ts";
import { Readiness } from "../model/readiness.ts";
import type { StatusSources } from "../status/index.ts";
import type { AgentDeps, AgentEnd, AgentSignals } from "./agent.ts";
import { startDiscovery } from "./discovery-room.ts";
import { Ending } from "./ending.ts";
import { startIdentity } from "./identity-rooms.ts";
import type { StartPhases } from "./start-phases.ts";

export interface StartedEnvoy {
  readonly config: AgentConfig;
  readonly envoy: SupervisedEnvoy;
  readonly sdsSocket: UnixListener;
  readonly xdsSocket: UnixListener | undefined;
  readonly phases: StartPhases;
}

/**
 * Builds the rooms that serve Envoy, which starts meanwhile, and runs until Envoy is gone. Each room's module is loaded
 * when its turn comes. Rooms close in reverse, after Envoy.
 */
export async function serveEnvoy(start: StartedEnvoy, deps: AgentDeps, signals: AgentSignals): Promise<AgentEnd> {
  const { config, envoy, phases } = start;
  using ending = new Ending(signals.stop);
  const roomDeps = { ...deps, fail: ending.fail.bind(ending) };
  const holds = new Readiness(() => deps.clock.now());
  let certificateAsked = false;
  using hold = holds.hold("identity", "no certificate asked for yet", () => certificateAsked);
  await using rooms = new AsyncDisposableStack();

  const onAsked = (): void => {
    certificateAsked = true;
  };
  const identity = { config, socket: start.sdsSocket, hold, phases, onAsked };
  const metrics = await startIdentity(identity, rooms, roomDeps);
  await startDiscovery(config, start.xdsSocket, rooms, { ...roomDeps, metrics });
  const { createEnvoyAdmin, drainAndStop, explainEnd, readEnvoyReadiness } = await import("../envoy/index.ts");
  const admin = createEnvoyAdmin(config.envoy.admin, deps);
  let wasReady = false;
  const { listenStatus } = await import("../status/index.ts");
  const sources: StatusSources = {
    holds,
    envoy: { read: (signal) => readEnvoyReadiness(admin, signal) },
    terminating: () => ending.reason(),
    onFirstReady: () => {
      wasReady = true;
      phases.end("ready");
    },
    metrics: metrics.scrape(config.status.scrape, deps),
    quit: () => {
      ending.quit();
    },
    drain: () => {
      drainByRequest(ending, admin, config, deps);
    },
  };
  rooms.use(await listenStatus(config.status, sources, roomDeps));
  phases.end("status served");
  const { startHost } = await import("../host/index.ts");
  const isOwnChild = (pid: number): boolean => envoy.owns(pid);
  const host = rooms.use(
    await startHost(config.host, envoy.pid, { ...deps, isOwnChild, adoptsOrphans: process.pid === 1 }),
  );
  signals.onHangup(() => {
    void envoy.swap();
  });
  await deps.loadLog();

  await ending.until(envoy.exited);
  const drain = wasReady && ending.wantsDrain;
  const order = { process: envoy, admin, config: config.envoy.drain, drain, force: signals.force };
  const { exit } = await drainAndStop(order, deps);
  if (ending.failure !== undefined) throw ending.failure;
  return await explainEnd({ exit, oomKills: await host.oomKillsSinceStart(), wasReady }, config.envoy);
}

/** The preStop hook of a native sidecar: the drain begins before the signal comes. */
function drainByRequest(ending: Ending, admin: EnvoyAdmin, config: AgentConfig, { log }: AgentDeps): void {
  ending.drained();
  admin.drainListeners(config.envoy.drain.direction).catch((error: unknown) => {
    log.warn("Envoy does not drain", { cause: describeError(error) });
  });
}
