// SPDX-License-Identifier: Apache-2.0
import type { CertStore } from "../cert/index.ts";
import type { AgentConfig } from "../config/agent-config.ts";
import type { Deps } from "../lib/deps.ts";
import type { UnixListener } from "../lib/unix-socket.ts";
import type { ReadinessHold } from "../model/readiness.ts";
import { createIdentitySource } from "./identity-source.ts";
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
  const { createCertStore, createFileSecrets, watchRevocationList } = await import("../cert/index.ts");
  const source = await createIdentitySource(config, rooms, deps);
  let certs: CertStore | undefined;
  const metrics = await createRoomMetrics(() => certs?.status(), deps.clock);
  if (source === undefined) hold.release();
  else certs = rooms.use(createCertStore(config.cert, source, { ...deps, hold, metrics: metrics.cert }));
  const fileDeps = { clock: deps.clock, debounceMs: config.certFiles.debounceMs, log: deps.log.scope("cert") };
  const files = createFileSecrets({ ...fileDeps, metrics: metrics.files });
  const { crlPath } = config.sds;
  const { serveSds } = await import("../sds/index.ts");
  rooms.use(
    serveSds(socket, createSecretSource(certs, files), config.sds, {
      ...deps,
      metrics: metrics.sds,
      crl: crlPath === undefined ? undefined : { watch: (signal) => watchRevocationList(crlPath, fileDeps, signal) },
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
