// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";
import { describeError } from "../lib/errors.ts";
import type { Logger } from "../lib/log/log.ts";
import type { EnvoyAdmin } from "./admin-client.ts";
import type { EnvoyTraffic, OpenConnections } from "./admin-responses.ts";
import type { DrainConfig } from "./envoy-config.ts";
import { describeExit, type EnvoyExit } from "./envoy-exit.ts";
import type { EnvoyProcess } from "./envoy-process.ts";

export interface StopOrder {
  readonly process: Pick<EnvoyProcess, "exited" | "exit" | "terminate" | "kill">;
  readonly admin: Pick<EnvoyAdmin, "drainListeners" | "traffic">;
  /** Counts connections without Envoy's stats; undefined where it cannot. */
  readonly countSockets?: (signal: AbortSignal) => Promise<readonly OpenConnections[] | undefined>;
  readonly config: DrainConfig;
  /**
   * Whether clients may have connections. False if the pod was never ready, after `/drain`, and for `/quitquitquit`:
   * then Envoy is terminated at once.
   */
  readonly drain: boolean;
  /** Ends the drain early; Envoy is terminated as after a complete drain. */
  readonly endDrain?: AbortSignal;
  /** Kills Envoy: a second signal. */
  readonly force: AbortSignal;
}

export interface DrainReport {
  /** Why the drain ended. */
  readonly endedBy: "idle" | "deadline" | "forced" | "envoy-exited" | "not-drained";
  readonly durationMs: number;
  /** What was open at the last check; undefined when it is unknown. */
  readonly traffic: EnvoyTraffic | undefined;
}

export interface StopOutcome {
  readonly exit: EnvoyExit;
  readonly report: DrainReport;
}

export interface StopDeps {
  readonly log: Logger;
  readonly clock: Clock;
  /** Uniform in [0, 1). */
  readonly random: () => number;
}

/** Pause between two checks of the open connections. It grows with the duration of a check, up to the maximum. */
const minPauseMs = 150;
/** Envoy is terminated at most half a second after its last connection was closed. */
const maxPauseMs = 300;

/**
 * Stops Envoy without losing a request: drains its listeners, waits until nothing is in flight (at least the minimum)
 * or until the period is over, then sends SIGTERM, then SIGKILL. An admin interface that fails or hangs neither shortens
 * nor lengthens this.
 */
export async function drainAndStop(order: StopOrder, deps: StopDeps): Promise<StopOutcome> {
  const log = deps.log.scope("envoy");
  const startMs = deps.clock.monotonicMs();
  const drained = order.drain
    ? await drain(order, { ...deps, log })
    : ({ endedBy: order.force.aborted ? "forced" : "not-drained", traffic: noTraffic } as const);
  const report: DrainReport = { ...drained, durationMs: Math.round(deps.clock.monotonicMs() - startMs) };
  if (order.drain) logReport(log, report);
  const { process, config, force } = order;
  const exit =
    process.exit ?? (force.aborted ? await process.kill() : await process.terminate(config.killAfterMs, force));
  log.info("Envoy exited", { exit: describeExit(exit), requested: exit.requested });
  return { exit, report };
}

const noTraffic: EnvoyTraffic = { open: [], requests: undefined };

async function drain(order: StopOrder, deps: StopDeps): Promise<Pick<DrainReport, "endedBy" | "traffic">> {
  const { process, config, endDrain, force } = order;
  const { log, clock } = deps;
  const ended = new AbortController();
  const end = (endedBy: DrainReport["endedBy"]): void => {
    ended.abort(endedBy);
  };
  const early = endDrain === undefined ? force : AbortSignal.any([endDrain, force]);
  const onEarly = (): void => {
    end("forced");
  };
  early.addEventListener("abort", onEarly, { once: true });
  if (early.aborted) onEarly();
  void process.exited.then(() => {
    end("envoy-exited");
  });
  const period = clock.delay(config.periodMs, ended.signal).then(
    () => {
      end("deadline");
    },
    () => undefined,
  );
  const { direction, minimumMs, periodMs, jitterMs } = config;
  log.info("draining Envoy", { direction, minimumMs, periodMs, ...(jitterMs > 0 ? { jitterMs } : {}) });
  const traffic = await watchUntilIdle(order, deps, ended.signal);
  end("idle");
  await period;
  early.removeEventListener("abort", onEarly);
  return { endedBy: endedBy(ended.signal), traffic };
}

/** @returns what was open at the last check */
async function watchUntilIdle(order: StopOrder, deps: StopDeps, ended: AbortSignal): Promise<EnvoyTraffic | undefined> {
  const { clock } = deps;
  const { minimumMs, jitterMs } = order.config;
  const idleFromMs = clock.monotonicMs() + minimumMs;
  const requested = requestDrain(order, deps, ended);
  if (jitterMs === 0) await requested;
  const check = connectionCheck(order, deps.log, ended);
  let last: EnvoyTraffic | undefined;
  while (!ended.aborted) {
    const checkedMs = clock.monotonicMs();
    const traffic = await check();
    const isIdle = traffic !== undefined && hasNoneInFlight(traffic, last);
    last = traffic ?? last;
    const nowMs = clock.monotonicMs();
    if (isIdle && checkedMs >= idleFromMs) break;
    const pauseMs = Math.min(Math.max(minPauseMs, 4 * (nowMs - checkedMs)), maxPauseMs);
    await clock
      .delay(nowMs < idleFromMs ? Math.min(pauseMs, idleFromMs - nowMs) : pauseMs, ended)
      .catch(() => undefined);
  }
  return last;
}

/**
 * Whether Envoy can end without losing a request. Connections may stay open if none of them has a request at two checks,
 * and there was none in between: a busy client is between two requests at most moments.
 */
function hasNoneInFlight({ open, requests }: EnvoyTraffic, previous: EnvoyTraffic | undefined): boolean {
  if (open.length === 0) return true;
  if (requests === undefined || previous?.requests === undefined) return false;
  const wasIdle = previous.requests.active === 0 && previous.requests.otherConnections === 0;
  const isIdle = requests.active === 0 && requests.otherConnections === 0;
  return isIdle && wasIdle && requests.total === previous.requests.total;
}

/** After a random part of the jitter, so that the replicas of a rollout do not lose their clients all at once. */
async function requestDrain({ admin, config }: StopOrder, deps: StopDeps, ended: AbortSignal): Promise<void> {
  try {
    if (config.jitterMs > 0) await deps.clock.delay(deps.random() * config.jitterMs, ended);
    await admin.drainListeners({ direction: config.direction, openEnded: false }, ended);
  } catch (error) {
    // a request that was cut off by the end of the drain did not fail
    if (ended.aborted) return;
    deps.log.warn("drain request to Envoy failed; clients keep their connections", { error: describeError(error) });
  }
}

/** Reads what is open; undefined when it is unknown. Warns once. */
function connectionCheck(
  { admin, config, countSockets }: StopOrder,
  log: Logger,
  ended: AbortSignal,
): () => Promise<EnvoyTraffic | undefined> {
  let warned = false;
  const warn = (error: unknown): void => {
    if (warned || ended.aborted) return;
    warned = true;
    const message = "open connections of Envoy are unknown; waiting for the end of the drain period";
    log.warn(message, { error: describeError(error) });
  };
  return async () => {
    try {
      const traffic = await admin.traffic(config.uncountedPorts, ended);
      if (traffic !== undefined) return traffic;
      const open = await countSockets?.(ended);
      if (open !== undefined || config.endsUncounted) return { ...noTraffic, open: open ?? [] };
      warn("Envoy has no stats of them, and the system's socket tables cannot be used");
    } catch (error) {
      warn(error);
    }
    return undefined;
  };
}

function endedBy(ended: AbortSignal): DrainReport["endedBy"] {
  const reason: unknown = ended.reason;
  return reason === "deadline" || reason === "forced" || reason === "envoy-exited" ? reason : "idle";
}

function logReport(log: Logger, { endedBy, durationMs, traffic }: DrainReport): void {
  if (traffic === undefined) {
    log.info("drain finished; open connections unknown", { endedBy, durationMs });
    return;
  }
  const { open, requests } = traffic;
  const connections = sumConnections(open);
  if (connections === 0 || endedBy === "envoy-exited") log.info("drain finished", { endedBy, durationMs });
  else if (endedBy === "idle") log.info("drain finished", { endedBy, durationMs, idleConnections: connections });
  else {
    const inFlight = requests === undefined ? {} : { requests: requests.active };
    log.warn("drain finished with open connections", { endedBy, durationMs, ...inFlight, connections, open });
  }
}

/** All connections together. */
export function sumConnections(open: readonly OpenConnections[]): number {
  return open.reduce((sum, { connections }) => sum + connections, 0);
}
