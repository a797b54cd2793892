// SPDX-License-Identifier: Apache-2.0
import type { ReadinessCheck } from "./readiness-report.ts";

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
  /** How often Envoy has ended unasked so far, and how it did last, in words. */
  failures?(): { readonly count: number; readonly last: string };
}

/**
 * Why Envoy cannot serve yet, in the words that users of pilot-agent search for; undefined when it can.
 * Rejected updates alone do no harm to a pod that already has one accepted update of each kind.
 * Source: istio pkg/status/ready, observed with Envoy 1.40
 */
export function envoyObstacle(envoy: EnvoyReadiness): string | undefined {
  return configObstacle(envoy) ?? stateObstacle(envoy) ?? workersObstacle(envoy);
}

/** The same, condition by condition. */
export function envoyChecks(envoy: EnvoyReadiness): readonly ReadinessCheck[] {
  const { cdsUpdates, cdsRejected, ldsUpdates, ldsRejected, state } = envoy;
  return [
    { name: "admin interface", state: "passed" },
    updateCheck("clusters (CDS)", cdsUpdates, cdsRejected),
    updateCheck("listeners (LDS)", ldsUpdates, ldsRejected),
    check("server state", stateObstacle(envoy), state),
    check("workers", workersObstacle(envoy)),
  ];
}

function updateCheck(name: string, accepted: number, rejected: number): ReadinessCheck {
  const counts = `${String(accepted)} accepted, ${String(rejected)} rejected`;
  if (accepted > 0) return { name, state: "passed", detail: counts };
  return rejected > 0
    ? { name, code: "configuration-refused", state: "failed", detail: `every update was rejected (${counts})` }
    : { name, code: "control-plane", state: "failed", detail: `no update was received (${counts})` };
}

function check(name: string, obstacle: string | undefined, detail?: string): ReadinessCheck {
  if (obstacle !== undefined) return { name, code: "envoy-initialising", state: "failed", detail: obstacle };
  return detail === undefined ? { name, state: "passed" } : { name, state: "passed", detail };
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

function stateObstacle({ state }: EnvoyReadiness): string | undefined {
  if (state === undefined) return "failed to get readiness stats: server.state is not yet updated";
  return state === "LIVE" ? undefined : `server is not live, current state is: ${state}`;
}

function workersObstacle({ workersStarted }: EnvoyReadiness): string | undefined {
  if (workersStarted === true) return undefined;
  if (workersStarted === false) return "workers have not yet started";
  return "failed to get readiness stats: listener_manager.workers_started is not yet updated";
}
