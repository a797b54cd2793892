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

/** Envoy's listeners beside what they were at earlier looks. */
export interface ListenerStanding {
  readonly open: number;
  /** Envoy shows them and they took connections once, but nobody listens any more. */
  readonly closed: readonly string[];
  /** There were listeners besides the agent's own, and all of them were removed. */
  readonly allRemoved: boolean;
}

export interface EnvoyReadinessSource {
  /** @throws while Envoy's admin interface does not answer */
  read(signal: AbortSignal): Promise<EnvoyReadiness>;
  /** Each look remembers what it saw for the next. Undefined where it cannot be told. @throws as `read` */
  listeners?(signal: AbortSignal): Promise<ListenerStanding | undefined>;
  /** What Envoy waits for before it starts its workers, in its own words. @throws as `read` */
  initTargets?(signal: AbortSignal): Promise<readonly string[]>;
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

/** Whether Envoy has its configuration and still has to start its workers. */
export function isInitializing(envoy: EnvoyReadiness): boolean {
  return configObstacle(envoy) === undefined && envoy.workersStarted !== true;
}

/**
 * The same, condition by condition. What only waits for the configuration is no failure of its own.
 * @param initTargets what an Envoy that initializes waits for, where it is known
 */
export function envoyChecks(envoy: EnvoyReadiness, initTargets: readonly string[] = []): readonly ReadinessCheck[] {
  const { cdsUpdates, cdsRejected, ldsUpdates, ldsRejected, state, workersStarted } = envoy;
  const start = [
    check("server state", stateObstacle(envoy), state),
    check("workers", workersStarted === true ? undefined : `workers have not yet started${waitsFor(initTargets)}`),
  ];
  const waits = configObstacle(envoy) !== undefined && state !== "DRAINING";
  return [
    { name: "admin interface", state: "passed" },
    updateCheck("clusters (CDS)", cdsUpdates, cdsRejected),
    updateCheck("listeners (LDS)", ldsUpdates, ldsRejected),
    ...start.map((found) => (waits && found.state === "failed" ? waitsForConfiguration(found) : found)),
  ];
}

function waitsFor(targets: readonly string[]): string {
  return targets.length === 0 ? "" : `: Envoy waits for ${listed(targets)}`;
}

function waitsForConfiguration({ name, detail = "" }: ReadinessCheck): ReadinessCheck {
  return { name, state: "not-counted", detail: `${detail}: Envoy waits for its configuration` };
}

/** Which listeners Envoy has lost; undefined when none. */
export function listenerObstacle({ closed, allRemoved }: ListenerStanding): string | undefined {
  if (closed.length > 0) {
    return `Envoy does not listen any more on ${listed(closed)}`;
  }
  return allRemoved ? "the last listener of Envoy was removed" : undefined;
}

export function listenerCheck(standing: ListenerStanding): ReadinessCheck {
  const name = "open listeners";
  const lost = listenerObstacle(standing);
  if (lost !== undefined) return { name, code: "listener-lost", state: "failed", detail: lost };
  return { name, state: "passed", detail: String(standing.open) };
}

const mostNamed = 5;

function listed(names: readonly string[]): string {
  const more = names.length > mostNamed ? ` and ${String(names.length - mostNamed)} more` : "";
  return `${names.slice(0, mostNamed).join(", ")}${more}`;
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
