// SPDX-License-Identifier: Apache-2.0
import type { AgentConfig } from "../config/agent-config.ts";
import type { EnvoyProcess } from "../envoy/index.ts";
import { describeError } from "../lib/errors.ts";
import type { UnixListener } from "../lib/unix-socket.ts";
import { Readiness } from "../model/readiness.ts";
import type { AgentDeps, AgentSignals } from "./agent.ts";
import { createRoomMetrics } from "./room-metrics.ts";
import { createSecretSource } from "./secret-source.ts";
import type { StartPhases } from "./start-phases.ts";
import { createEnding, untilEnd } from "./ending.ts";

export interface StartedEnvoy {
  readonly config: AgentConfig;
  readonly envoy: EnvoyProcess;
  readonly sdsSocket: UnixListener;
  readonly phases: StartPhases;
}

/**
 * Builds the rooms that serve Envoy, which starts meanwhile, and runs until Envoy is gone. Each room's module is loaded
 * at its line. Rooms close in reverse, after Envoy.
 */
export async function serveEnvoy(start: StartedEnvoy, deps: AgentDeps, signals: AgentSignals): Promise<number> {
  const { config, envoy, phases } = start;
  using ending = createEnding(signals.stop);
  const roomDeps = { ...deps, fail: ending.fail };
  const readiness = new Readiness(() => deps.clock.now());
  using identityHold = readiness.hold("identity", "no certificate asked for yet");

  const { createCaClient } = await import("../ca/index.ts");
  const { createCertStore } = await import("../cert/index.ts");
  const metrics = await createRoomMetrics(() => certs.status(), deps.clock);
  await using certs = createCertStore(config.cert, createCaClient(config.ca, deps), {
    ...roomDeps,
    hold: identityHold,
    metrics: metrics.cert,
  });
  const { serveSds } = await import("../sds/index.ts");
  await using _sds = serveSds(start.sdsSocket, createSecretSource(certs), config.sds, {
    ...deps,
    metrics: metrics.sds,
    onEvent: (event) => {
      metrics.onSdsEvent(event);
      if (event.kind === "accepted" && event.resource === "default") phases.end("certificate in Envoy");
    },
  });
  phases.end("sds served");

  const { createEnvoyAdmin, drainAndStop, exitCodeFor, readEnvoyReadiness } = await import("../envoy/index.ts");
  const admin = createEnvoyAdmin(config.envoy.admin, deps);
  let wasReady = false;
  const { listenStatus } = await import("../status/index.ts");
  await using _status = await listenStatus(
    config.status,
    {
      holds: readiness,
      envoy: { read: (signal) => readEnvoyReadiness(admin, signal) },
      terminating: ending.reason,
      onFirstReady: () => {
        wasReady = true;
        phases.end("ready");
      },
      metrics: metrics.scrape(config.status.scrape, deps),
      quit: ending.quit,
      drain: () => {
        ending.drained();
        admin.drainListeners(config.envoy.drain.direction).catch((error: unknown) => {
          deps.log.warn("Envoy does not drain", { cause: describeError(error) });
        });
      },
    },
    roomDeps,
  );
  phases.end("status served");
  await deps.loadLog();
  await untilEnd(ending, envoy.exited);
  const drain = wasReady && ending.wantsDrain;
  await drainAndStop({ process: envoy, admin, config: config.envoy.drain, drain, force: signals.force }, deps);
  if (ending.failure !== undefined) throw ending.failure;
  return exitCodeFor(await envoy.exited);
}
