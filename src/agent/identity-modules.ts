// SPDX-License-Identifier: Apache-2.0
import type { CertMetrics, CertStatus, CertStore } from "../cert/index.ts";
import type { AgentConfig } from "../config/agent-config.ts";
import type { Deps } from "../lib/deps.ts";
import type { UnixListener } from "../lib/net/unix-socket.ts";
import type { Readiness } from "../model/readiness.ts";
import { createIdentitySource } from "./identity-source.ts";
import { createModuleMetrics, type ModuleMetrics, type ModuleMetricsOptions } from "./module-metrics.ts";
import { createSecretSource } from "./secret-source.ts";
import type { StartPhases } from "./start-phases.ts";

export interface IdentityStart {
  readonly config: AgentConfig;
  /** Undefined where nobody is served: the store runs all the same, for its files. */
  readonly socket: UnixListener | undefined;
  readonly holds: Readiness;
  readonly phases: StartPhases;
  /** How often Envoy was started again, for the metrics. */
  readonly envoyStarts: ModuleMetricsOptions["envoyStarts"];
}

/** The workload's identity as other modules use it. */
export interface Identity {
  readonly metrics: ModuleMetrics;
  /** Undefined when another process serves the workload's certificate. */
  status(): CertStatus | undefined;
  /** Trusts these roots too, from now on; an empty list takes them back. */
  setMeshAnchors(pems: readonly string[]): void;
}

/**
 * Starts to obtain the workload's certificate, and serves it over SDS. Without a certificate the pod is not ready once
 * somebody has asked for one; before that it is only told. What is started goes to `modules`.
 */
export async function startIdentity(
  { config, socket, holds, phases, envoyStarts }: IdentityStart,
  modules: AsyncDisposableStack,
  deps: Deps,
): Promise<Identity> {
  const { createCertStore, createFileSecrets, watchRevocationList } = await import("../cert/index.ts");
  const source = await createIdentitySource(config, modules, deps);
  let certs: CertStore | undefined;
  const metrics = await createModuleMetrics({
    certificate: () => certs?.status(),
    envoyStarts,
    externalSds: config.identity.kind === "external-sds",
    xdsProxy: config.xds.kind !== "files",
    clock: deps.clock,
  });
  let asked = config.status.readiness === "strict";
  if (source !== undefined) {
    const hold = modules.use(holds.hold("identity", "no certificate asked for yet", () => asked));
    certs = modules.use(
      createCertStore(config.cert, source, { ...deps, hold, metrics: noteFirst(metrics.cert, phases) }),
    );
  }
  if (config.identity.kind === "external-sds") {
    const { watchForeignIdentity } = await import("./foreign-identity.ts");
    modules.use(watchForeignIdentity(config.identity.socketPath, { ...deps, up: metrics.agent.externalSds.up }));
  }
  const identity: Identity = {
    metrics,
    status: () => certs?.status(),
    setMeshAnchors: (pems) => certs?.setMeshAnchors(pems),
  };
  if (socket === undefined) return identity;
  const fileDeps = { clock: deps.clock, debounceMs: config.certFiles.debounceMs, log: deps.log.scope("cert") };
  const files = createFileSecrets({ ...fileDeps, metrics: metrics.files });
  const { crlPath } = config.sds;
  const { serveSds } = await import("../sds/index.ts");
  modules.use(
    serveSds(socket, createSecretSource(certs, files), config.sds, {
      ...deps,
      metrics: metrics.agent.sds,
      crl: crlPath === undefined ? undefined : { watch: (signal) => watchRevocationList(crlPath, fileDeps, signal) },
      onEvent: (event) => {
        if (event.kind === "subscribed") asked = true;
        if (event.kind === "accepted" && event.resource === "default") phases.end("certificate in Envoy");
      },
    }),
  );
  phases.end("SDS served");
  return identity;
}

/** The first certificate ends a phase of the start. */
function noteFirst(metrics: CertMetrics, phases: StartPhases): CertMetrics {
  return {
    signed(outcome, durationMs, statusCode) {
      if (outcome === "ok") phases.end("certificate received");
      metrics.signed(outcome, durationMs, statusCode);
    },
  };
}
