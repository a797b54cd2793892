// SPDX-License-Identifier: Apache-2.0
import type { EnvoyReadiness, ListenerStatus } from "../../model/envoy-readiness.ts";
import type { ReadinessCheck } from "./readiness-report.ts";

/**
 * Why Envoy cannot serve yet, in pilot-agent's wording; undefined when it can.
 * Rejected updates do not count once one update of each kind was accepted.
 * Source: istio pkg/status/ready, observed with Envoy 1.40
 */
export function envoyObstacle(envoy: EnvoyReadiness): string | undefined {
  return configObstacle(envoy) ?? stateObstacle(envoy) ?? workersObstacle(envoy);
}

/** Whether Envoy has its configuration and still has to start its workers. */
export function isInitializing(envoy: EnvoyReadiness): boolean {
  return configObstacle(envoy) === undefined && envoy.workersStarted !== true;
}

/**
 * All conditions, one by one. One that only waits for the configuration does not count as failed.
 * @param initTargets what an initializing Envoy waits for, where that is known
 */
export function envoyChecks(envoy: EnvoyReadiness, initTargets: readonly string[] = []): readonly ReadinessCheck[] {
  const { state, workersStarted } = envoy;
  const { cdsUpdates, cdsRejected, cdsFailed = 0, clustersProblem } = envoy;
  const { ldsUpdates, ldsRejected, ldsFailed = 0, listenersProblem } = envoy;
  const start = [
    check("server state", stateObstacle(envoy), state),
    check("workers", workersStarted === true ? undefined : `workers have not yet started${waitsFor(initTargets)}`),
  ];
  const waits = configObstacle(envoy) !== undefined && state !== "DRAINING";
  return [
    { name: "admin interface", state: "passed" },
    updateCheck("clusters (CDS)", [cdsUpdates, cdsRejected, cdsFailed, clustersProblem], envoy.expectsClusters),
    updateCheck("listeners (LDS)", [ldsUpdates, ldsRejected, ldsFailed, listenersProblem], envoy.expectsListeners),
    ...start.map((found) => (waits && found.state === "failed" ? waitsForConfiguration(found) : found)),
  ];
}

function waitsFor(targets: readonly string[]): string {
  return targets.length === 0 ? "" : `: Envoy waits for ${listed(targets)}`;
}

function waitsForConfiguration({ name, detail = "" }: ReadinessCheck): ReadinessCheck {
  return { name, state: "not-counted", detail: `${detail}: Envoy waits for its configuration` };
}

/** The listeners that Envoy lost, in one line; undefined when it lost none. */
export function lostListeners({ closed, allRemoved }: ListenerStatus): string | undefined {
  if (closed.length > 0) {
    return `Envoy does not listen any more on ${listed(closed)}`;
  }
  return allRemoved ? "the last listener of Envoy was removed" : undefined;
}

export function listenerCheck(listeners: ListenerStatus): ReadinessCheck {
  const name = "open listeners";
  const lost = lostListeners(listeners);
  if (lost !== undefined) return { name, code: "listener-lost", state: "failed", detail: lost };
  return { name, state: "passed", detail: String(listeners.open) };
}

const mostNamed = 5;

function listed(names: readonly string[]): string {
  const more = names.length > mostNamed ? ` and ${String(names.length - mostNamed)} more` : "";
  return `${names.slice(0, mostNamed).join(", ")}${more}`;
}

type Updates = readonly [accepted: number, rejected: number, failed: number, problem: string | undefined];

function updateCheck(name: string, [accepted, rejected, failed, problem]: Updates, isExpected = true): ReadinessCheck {
  if (!isExpected) return { name, state: "passed", detail: "static: Envoy is configured to receive none" };
  const counts = `${String(accepted)} accepted, ${String(rejected)} rejected`;
  if (accepted > 0) return { name, state: "passed", detail: counts };
  const why = problem === undefined ? "" : `: ${problem}`;
  const refused = { name, code: "configuration-refused", state: "failed" } as const;
  if (rejected > 0) return { ...refused, detail: `every update was rejected (${counts})${why}` };
  if (failed > 0) return { ...refused, detail: `no update could be read (${counts})${why}` };
  return { name, code: "control-plane", state: "failed", detail: `no update was received (${counts})${why}` };
}

function check(name: string, obstacle: string | undefined, detail?: string): ReadinessCheck {
  if (obstacle !== undefined) return { name, code: "envoy-initialising", state: "failed", detail: obstacle };
  return detail === undefined ? { name, state: "passed" } : { name, state: "passed", detail };
}

function configObstacle(envoy: EnvoyReadiness): string | undefined {
  const { expectsClusters = true, expectsListeners = true } = envoy;
  if ((!expectsClusters || envoy.cdsUpdates > 0) && (!expectsListeners || envoy.ldsUpdates > 0)) return undefined;
  const counts = [
    ...(expectsClusters ? [countsOf("cds", envoy.cdsUpdates, envoy.cdsRejected)] : []),
    ...(expectsListeners ? [countsOf("lds", envoy.ldsUpdates, envoy.ldsRejected)] : []),
  ].join("; ");
  if (envoy.cdsRejected > 0 || envoy.ldsRejected > 0) {
    return `config received from XDS server, but was rejected: ${counts}`;
  }
  if (envoy.cdsUpdates > 0 || envoy.ldsUpdates > 0) return `config not fully received from XDS server: ${counts}`;
  return `config not received from XDS server (is Istiod running?): ${counts}`;
}

function countsOf(type: string, accepted: number, rejected: number): string {
  return `${type} updates: ${String(accepted)} successful, ${String(rejected)} rejected`;
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
