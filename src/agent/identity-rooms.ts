// SPDX-License-Identifier: Apache-2.0
import type { AgentConfig } from "../config/agent-config.ts";
import type { Deps } from "../lib/deps.ts";
import type { UnixListener } from "../lib/unix-socket.ts";
import type { ReadinessHold } from "../model/readiness.ts";
import { createRoomMetrics, type RoomMetrics } from "./room-metrics.ts";
import { createSecretSource } from "./secret-source.ts";
import type { StartPhases } from "./start-phases.ts";

export interface IdentityStart {
  readonly config: AgentConfig;
  readonly socket: UnixListener;
  readonly hold: ReadinessHold;
  readonly phases: StartPhases;
  /** Called when somebody asks for a certificate or for roots over SDS. */
  readonly onAsked: () => void;
}

/** Starts to obtain the workload's certificate, and serves it over SDS. What is started goes to `rooms`. */
export async function startIdentity(
  { config, socket, hold, phases, onAsked }: IdentityStart,
  rooms: AsyncDisposableStack,
  deps: Deps,
): Promise<RoomMetrics> {
  const { createCaClient } = await import("../ca/index.ts");
  const { createCertStore } = await import("../cert/index.ts");
  const metrics = await createRoomMetrics(() => certs.status(), deps.clock);
  const certDeps = { ...deps, hold, metrics: metrics.cert };
  const certs = rooms.use(createCertStore(config.cert, createCaClient(config.ca, deps), certDeps));
  const { serveSds } = await import("../sds/index.ts");
  rooms.use(
    serveSds(socket, createSecretSource(certs), config.sds, {
      ...deps,
      metrics: metrics.sds,
      onEvent: (event) => {
        metrics.onSdsEvent(event);
        if (event.kind === "subscribed") onAsked();
        if (event.kind === "accepted" && event.resource === "default") phases.end("certificate in Envoy");
      },
    }),
  );
  phases.end("SDS served");
  return metrics;
}
