// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/clock.ts";
import { describeError } from "../lib/errors.ts";
import type { Logger } from "../lib/log.ts";
import type { EnvoyAdmin } from "./admin-client.ts";
import type { DrainConfig } from "./envoy-config.ts";
import { describeExit, type EnvoyExit } from "./envoy-exit.ts";
import type { EnvoyProcess } from "./envoy-process.ts";
import { type OpenConnections, sumConnections } from "./open-connections.ts";

export interface StopOrder {
  readonly process: Pick<EnvoyProcess, "exited" | "exit" | "terminate" | "kill">;
  readonly admin: Pick<EnvoyAdmin, "drainListeners" | "openConnections">;
  readonly config: DrainConfig;
  /**
   * Whether clients may be served: false before the pod was ever ready, after `/drain` has done the draining, and for
   * `/quitquitquit`; then Envoy is ended without a wait.
   */
  readonly drain: boolean;
  /** Ends everything at once: a second signal. */
  readonly force: AbortSignal;
}

export interface DrainReport {
  /** What ended the wait: nothing open any more, the period over, a second signal, Envoy itself; or there was none. */
  readonly endedBy: "idle" | "deadline" | "forced" | "envoy-exited" | "not-drained";
  readonly durationMs: number;
  /** Connections as last seen; empty when nothing was open or Envoy would not tell. */
  readonly open: readonly OpenConnections[];
}

export interface StopOutcome {
  readonly exit: EnvoyExit;
  readonly report: DrainReport;
}

/** Time between two looks at the open connections: well under the half second in which an end must follow the last. */
const lookEveryMs = 200;

/**
 * Ends Envoy without losing a request: asks its clients to leave, waits until nothing is open after the minimum or
 * until the period is over, then SIGTERM, then SIGKILL. An admin interface that refuses or hangs neither shortens nor
 * lengthens this.
 */
export async function drainAndStop(
  order: StopOrder,
  deps: { readonly log: Logger; readonly clock: Clock },
): Promise<StopOutcome> {
  const log = deps.log.scope("envoy");
  const startMs = deps.clock.monotonicMs();
  const wait = order.drain
    ? await drain(order, log, deps.clock)
    : ({ endedBy: order.force.aborted ? "forced" : "not-drained", open: [] } as const);
  const report: DrainReport = { ...wait, durationMs: Math.round(deps.clock.monotonicMs() - startMs) };
  if (order.drain) logReport(log, report);
  const { process, config, force } = order;
  const exit =
    process.exit ?? (force.aborted ? await process.kill() : await process.terminate(config.killAfterMs, force));
  log.info("Envoy ended", { exit: describeExit(exit), asked: exit.asked });
  return { exit, report };
}

async function drain(
  { process, admin, config, force }: StopOrder,
  log: Logger,
  clock: Clock,
): Promise<Pick<DrainReport, "endedBy" | "open">> {
  const over = new AbortController();
  const end = (endedBy: DrainReport["endedBy"]): void => {
    over.abort(endedBy);
  };
  const onForce = (): void => {
    end("forced");
  };
  force.addEventListener("abort", onForce, { once: true });
  if (force.aborted) onForce();
  void process.exited.then(() => {
    end("envoy-exited");
  });
  const period = clock.delay(config.periodMs, over.signal).then(
    () => {
      end("deadline");
    },
    () => undefined,
  );
  log.info("draining Envoy", { direction: config.direction, minimumMs: config.minimumMs, periodMs: config.periodMs });
  const open = await watchUntilIdle(admin, config, { log, clock }, over.signal);
  end("idle");
  await period;
  force.removeEventListener("abort", onForce);
  return { endedBy: endingOf(over.signal), open };
}

/** @returns what was open when it was last looked at: nothing, unless the signal ended the wait */
async function watchUntilIdle(
  admin: StopOrder["admin"],
  config: DrainConfig,
  { log, clock }: { readonly log: Logger; readonly clock: Clock },
  over: AbortSignal,
): Promise<readonly OpenConnections[]> {
  const minimum = clock.delay(config.minimumMs, over).catch(() => undefined);
  try {
    await admin.drainListeners({ direction: config.direction, openEnded: false }, over);
  } catch (error) {
    warnUnless(over, log, "Envoy took no drain request; its clients learn of the end late", error);
  }
  await minimum;
  let open: readonly OpenConnections[] = [];
  let warned = false;
  while (!over.aborted) {
    try {
      open = (await admin.openConnections(config.uncountedPorts, over)) ?? [];
      if (open.length === 0) break;
    } catch (error) {
      if (!warned)
        warnUnless(over, log, "Envoy does not tell its open connections; waiting for the end of the period", error);
      warned = true;
    }
    await clock.delay(lookEveryMs, over).catch(() => undefined);
  }
  return open;
}

/** A call that was cut off because the wait is over did not fail. */
function warnUnless(over: AbortSignal, log: Logger, message: string, error: unknown): void {
  if (!over.aborted) log.warn(message, { error: describeError(error) });
}

function endingOf(over: AbortSignal): DrainReport["endedBy"] {
  const reason: unknown = over.reason;
  return reason === "deadline" || reason === "forced" || reason === "envoy-exited" ? reason : "idle";
}

function logReport(log: Logger, { endedBy, durationMs, open }: DrainReport): void {
  if (open.length === 0) log.info("drain over", { endedBy, durationMs });
  else log.warn("drain over with connections open", { endedBy, durationMs, connections: sumConnections(open), open });
}
