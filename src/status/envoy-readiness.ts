// SPDX-License-Identifier: Apache-2.0

/** What Envoy says about itself. A stat that Envoy does not show yet is undefined; a missing counter is 0. */
export interface EnvoyReadiness {
  readonly cdsUpdates: number;
  readonly cdsRejected: number;
  readonly ldsUpdates: number;
  readonly ldsRejected: number;
  /** Envoy's own word, such as `LIVE` or `DRAINING`. */
  readonly state: string | undefined;
  readonly workersStarted: boolean | undefined;
}

export interface EnvoyReadinessSource {
  /** @throws while Envoy's admin interface does not answer */
  read(signal: AbortSignal): Promise<EnvoyReadiness>;
}

/**
 * Why Envoy cannot serve yet, in the words that users of pilot-agent search for; undefined when it can.
 * Rejected updates alone do no harm to a pod that already has one accepted update of each kind.
 * Source: istio pkg/status/ready, observed with Envoy 1.40
 */
export function envoyObstacle(envoy: EnvoyReadiness): string | undefined {
  return configObstacle(envoy) ?? stateObstacle(envoy);
}

function configObstacle(envoy: EnvoyReadiness): string | undefined {
  if (envoy.cdsUpdates > 0 && envoy.ldsUpdates > 0) return undefined;
  const counts =
    `cds updates: ${String(envoy.cdsUpdates)} successful, ${String(envoy.cdsRejected)} rejected; ` +
    `lds updates: ${String(envoy.ldsUpdates)} successful, ${String(envoy.ldsRejected)} rejected`;
  if (envoy.cdsRejected > 0 || envoy.ldsRejected > 0) {
    return `config received from XDS server, but was rejected: ${counts}`;
  }
  if (envoy.cdsUpdates > 0 || envoy.ldsUpdates > 0) return `config not fully received from XDS server: ${counts}`;
  return `config not received from XDS server (is Istiod running?): ${counts}`;
}

function stateObstacle({ state, workersStarted }: EnvoyReadiness): string | undefined {
  if (state === undefined) return "failed to get readiness stats: server.state is not yet updated";
  if (workersStarted === undefined) {
    return "failed to get readiness stats: listener_manager.workers_started is not yet updated";
  }
  if (state !== "LIVE") return `server is not live, current state is: ${state}`;
  return workersStarted ? undefined : "workers have not yet started";
}
