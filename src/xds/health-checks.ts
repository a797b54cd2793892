// SPDX-License-Identifier: Apache-2.0
import { type Clock, deadline } from "../lib/async/clock.ts";
import { describeError } from "../lib/errors.ts";
import type { Logger } from "../lib/log/log.ts";
import { startTask } from "../lib/async/tasks.ts";
import type { HealthCheckConfig } from "./health/health-check-config.ts";
import type { WorkloadHealth } from "./health/health-state.ts";

export interface HealthChecksDeps {
  readonly log: Logger;
  readonly clock: Clock;
  /** Why Envoy is not ready; undefined when it is, or when there is none. Asked before the workload. */
  readonly envoyProblem: (signal: AbortSignal) => Promise<string | undefined>;
  /** Asks the workload. @throws Error with the reason in its text when it is not well */
  readonly check: (config: HealthCheckConfig, signal: AbortSignal) => Promise<void>;
  readonly report: (health: WorkloadHealth) => void;
}

/**
 * Checks Envoy and the workload in turn, and reports each change of the two together, the first result included.
 * Source: the behaviour for virtual machines as observed with Istio 1.31
 */
export function startHealthChecks(config: HealthCheckConfig, deps: HealthChecksDeps): AsyncDisposable {
  return startTask(
    async (signal) => {
      const judge = new HealthJudge(config);
      await deps.clock.delay(config.initialDelayMs, signal);
      for (;;) {
        const change = judge.take(await checkOnce(config, deps, signal));
        signal.throwIfAborted();
        if (change !== undefined) {
          deps.log.info("health of the workload", { ...change });
          deps.report(change);
        }
        await deps.clock.delay(config.periodMs, signal);
      }
    },
    (error) => {
      deps.log.error("health checks ended", { reason: describeError(error) });
    },
  );
}

async function checkOnce(
  config: HealthCheckConfig,
  deps: HealthChecksDeps,
  signal: AbortSignal,
): Promise<WorkloadHealth> {
  using limit = deadline(deps.clock, config.timeoutMs, signal);
  try {
    const problem = await deps.envoyProblem(limit.signal);
    if (problem !== undefined) return { kind: "unhealthy", reason: problem };
    await deps.check(config, limit.signal);
    return { kind: "healthy" };
  } catch (error) {
    return { kind: "unhealthy", reason: describeError(error) || "no reason given" };
  }
}

/** Turns results into changes. */
class HealthJudge {
  readonly #thresholds: Readonly<Record<WorkloadHealth["kind"], number>>;
  #reported: WorkloadHealth["kind"] | undefined;
  #last: WorkloadHealth["kind"] | undefined;
  #inARow = 0;

  constructor({ successThreshold, failureThreshold }: HealthCheckConfig) {
    this.#thresholds = { healthy: successThreshold, unhealthy: failureThreshold };
  }

  take(result: WorkloadHealth): WorkloadHealth | undefined {
    this.#inARow = result.kind === this.#last ? this.#inARow + 1 : 1;
    this.#last = result.kind;
    if (result.kind === this.#reported || this.#inARow < this.#thresholds[result.kind]) return undefined;
    this.#reported = result.kind;
    return result;
  }
}
