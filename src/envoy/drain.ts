// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";
import { describeError } from "../lib/errors.ts";
import type { Logger } from "../lib/log/log.ts";
import type { EnvoyAdmin } from "./admin-client.ts";
import type { DrainConfig } from "./envoy-config.ts";
import { describeExit, type EnvoyExit } from "./envoy-exit.ts";
import type { EnvoyProcess } from "./envoy-process.ts";
import { type OpenConnections, sumConnections } from "./open-connections.ts";

export interface StopOrder {
  readonly process: Pick<EnvoyProcess, "exited" | "exit" | "terminate" | "kill">;
  readonly admin: Pick<EnvoyAdmin, "drainListeners" | "openConnections">;
  /** Counts them without Envoy's statistics; undefined where it cannot. */
  readonly countSockets?: (signal: AbortSignal) => Promise<readonly OpenConnections[] | undefined>;
  readonly config: DrainConfig;
  /**
   * Whether clients may be served: false before the pod was ever ready, after `/drain` has done the draining, and for
   * `/quitquitquit`; then Envoy is ended without a wait.
   */
  readonly drain: boolean;
  /** Ends the drain early; Envoy still gets its time to end. */
  readonly hurry?: AbortSignal;
  /** Ends everything at once: a second signal. */
  readonly force: AbortSignal;
}

export interface DrainReport {
  /** What ended the wait: nothing open any more, the period over, somebody's wish, Envoy itself; or there was none. */
  readonly endedBy: "idle" | "deadline" | "forced" | "envoy-exited" | "not-drained";
  readonly durationMs: number;
  /** Connections as last seen; undefined when nobody would tell. */
  readonly open: readonly OpenConnections[] | undefined;
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

/**
 * Time between two looks at the open connections: under the half second in which an end must follow the last; the more
 * of it the longer a look takes.
 */
const lookEveryMs = 150;
const lookAtLeastEveryMs = 300;

/**
 * Ends Envoy without losing a request: asks its clients to leave, waits until nothing is open after the minimum or
 * until the period is over, then SIGTERM, then SIGKILL. An admin interface that refuses or hangs neither shortens nor
 * lengthens this.
 */
export async function drainAndStop(order: StopOrder, deps: StopDeps): Promise<StopOutcome> {
  const log = deps.log.scope("envoy");
  const startMs = deps.clock.monotonicMs();
  const wait = order.drain
    ? await drain(order, { ...deps, log })
    : ({ endedBy: order.force.aborted ? "forced" : "not-drained", open: [] } as const);
  const report: DrainReport = { ...wait, durationMs: Math.round(deps.clock.monotonicMs() - startMs) };
  if (order.drain) logReport(log, report);
  const { process, config, force } = order;
  const exit =
    process.exit ?? (force.aborted ? await process.kill() : await process.terminate(config.killAfterMs, force));
  log.info("Envoy ended", { exit: describeExit(exit), asked: exit.asked });
  return { exit, report };
}

async function drain(order: StopOrder, deps: StopDeps): Promise<Pick<DrainReport, "endedBy" | "open">> {
  const { process, config, hurry, force } = order;
  const { log, clock } = deps;
  const over = new AbortController();
  const end = (endedBy: DrainReport["endedBy"]): void => {
    over.abort(endedBy);
  };
  const early = hurry === undefined ? force : AbortSignal.any([hurry, force]);
  const onEarly = (): void => {
    end("forced");
  };
  early.addEventListener("abort", onEarly, { once: true });
  if (early.aborted) onEarly();
  void process.exited.then(() => {
    end("envoy-exited");
  });
  const period = clock.delay(config.periodMs, over.signal).then(
    () => {
      end("deadline");
    },
    () => undefined,
  );
  const { direction, minimumMs, periodMs, jitterMs } = config;
  log.info("draining Envoy", { direction, minimumMs, periodMs, ...(jitterMs > 0 ? { jitterMs } : {}) });
  const open = await watchUntilIdle(order, deps, over.signal);
  end("idle");
  await period;
  early.removeEventListener("abort", onEarly);
  return { endedBy: endingOf(over.signal), open };
}

/** @returns what was open when it was last looked at: nothing, unless the signal ended the wait */
async function watchUntilIdle(
  order: StopOrder,
  deps: StopDeps,
  over: AbortSignal,
): Promise<readonly OpenConnections[] | undefined> {
  const { clock } = deps;
  const { minimumMs, jitterMs } = order.config;
  const idleFromMs = clock.monotonicMs() + minimumMs;
  const asked = askToLeave(order, deps, over);
  if (jitterMs === 0) await asked;
  const look = lookAtConnections(order, deps.log, over);
  let open: readonly OpenConnections[] | undefined;
  while (!over.aborted) {
    const lookedMs = clock.monotonicMs();
    open = (await look()) ?? open;
    const nowMs = clock.monotonicMs();
    if (open?.length === 0 && lookedMs >= idleFromMs) break;
    const pauseMs = Math.min(Math.max(lookEveryMs, 4 * (nowMs - lookedMs)), lookAtLeastEveryMs);
    await clock
      .delay(nowMs < idleFromMs ? Math.min(pauseMs, idleFromMs - nowMs) : pauseMs, over)
      .catch(() => undefined);
  }
  return open;
}

/** After a random part of the jitter, so that the replicas of a rollout do not send their clients away all at once. */
async function askToLeave({ admin, config }: StopOrder, deps: StopDeps, over: AbortSignal): Promise<void> {
  try {
    if (config.jitterMs > 0) await deps.clock.delay(deps.random() * config.jitterMs, over);
    await admin.drainListeners({ direction: config.direction, openEnded: false }, over);
  } catch (error) {
    // a call that was cut off because the wait is over did not fail
    if (over.aborted) return;
    deps.log.warn("Envoy took no drain request; its clients learn of the end late", { error: describeError(error) });
  }
}

/** A look at what is open; undefined when that cannot be told. What stands in the way is told once. */
function lookAtConnections(
  { admin, config, countSockets }: StopOrder,
  log: Logger,
  over: AbortSignal,
): () => Promise<readonly OpenConnections[] | undefined> {
  let told = false;
  const tell = (error: unknown): void => {
    if (told || over.aborted) return;
    told = true;
    const message = "Envoy does not tell its open connections; waiting for the end of the period";
    log.warn(message, { error: describeError(error) });
  };
  return async () => {
    try {
      const open = (await admin.openConnections(config.uncountedPorts, over)) ?? (await countSockets?.(over));
      if (open !== undefined || config.endsUncounted) return open ?? [];
      tell("it keeps no statistics of them, and the system does not tell");
    } catch (error) {
      tell(error);
    }
    return undefined;
  };
}

function endingOf(over: AbortSignal): DrainReport["endedBy"] {
  const reason: unknown = over.reason;
  return reason === "deadline" || reason === "forced" || reason === "envoy-exited" ? reason : "idle";
}

function logReport(log: Logger, { endedBy, durationMs, open }: DrainReport): void {
  if (open?.length === 0 || endedBy === "envoy-exited") log.info("drain over", { endedBy, durationMs });
  else if (open === undefined) log.info("drain over; nobody tells what was open", { endedBy, durationMs });
  else log.warn("drain over with connections open", { endedBy, durationMs, connections: sumConnections(open), open });
}
