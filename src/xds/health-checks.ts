// SPDX-License-Identifier: Apache-2.0
import { type Clock, deadline } from "../lib/async/clock.ts";
import { startTask } from "../lib/async/tasks.ts";
import { describeError } from "../lib/errors.ts";
import { GrpcStatus } from "../lib/grpc/status.ts";
import type { Logger } from "../lib/log/log.ts";
import { OutageLog } from "../lib/log/outage-log.ts";
import { renderRequest, type XdsProtocol } from "./protocol/request.ts";
import { typeUrls } from "./protocol/type-url.ts";
import type { HealthCheckConfig } from "./xds-config.ts";

/** The workload's health, for a control plane that registers the workload. */
export type WorkloadHealth =
  | { readonly kind: "healthy" }
  | {
      readonly kind: "unhealthy";
      /** In a few words; never empty. */
      readonly reason: string;
    };

/** The request that reports the health. Source: the form observed with Istio 1.31: a type, and an error when unhealthy */
export function renderHealthReport(health: WorkloadHealth, protocol: XdsProtocol): Uint8Array {
  const error = health.kind === "healthy" ? {} : { error: { code: GrpcStatus.internal, message: health.reason } };
  return renderRequest({ typeUrl: typeUrls.health, ...error }, protocol);
}

export interface HealthChecksDeps {
  readonly log: Logger;
  readonly clock: Clock;
  /** Why Envoy is not ready; undefined when it is, or when there is no Envoy. Checked before the workload. */
  readonly envoyProblem: (signal: AbortSignal) => Promise<string | undefined>;
  /** Probes the workload. @throws Error with the reason when it is unhealthy */
  readonly check: (config: HealthCheckConfig, signal: AbortSignal) => Promise<void>;
  readonly report: (health: WorkloadHealth) => void;
}

/**
 * Checks Envoy and then the workload, periodically. Reports the first result and each change of the two together, of the
 * reason too.
 * Source: the behaviour for virtual machines as observed with Istio 1.31
 */
export function startHealthChecks(config: HealthCheckConfig, deps: HealthChecksDeps): AsyncDisposable {
  return startTask(
    async (signal) => {
      const thresholds = new HealthThresholds(config);
      const message = "health of the workload changed";
      using log = new OutageLog(deps.log, deps.clock, { first: message, recovered: message });
      await deps.clock.delay(config.initialDelayMs, signal);
      for (;;) {
        const change = thresholds.apply(await checkOnce(config, deps, signal));
        signal.throwIfAborted();
        if (change !== undefined) {
          if (change.kind === "healthy") log.works({ ...change });
          else
            log.failed({ level: "info", message, kind: change.reason.replaceAll(/\d+/g, ""), fields: { ...change } });
          deps.report(change);
        }
        await deps.clock.delay(config.periodMs, signal);
      }
    },
    (error) => {
      deps.log.error("workload health checks stopped", { reason: describeError(error) });
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

/** Turns results into changes: so many equal results in a row make one, and another reason makes one too. */
class HealthThresholds {
  readonly #thresholds: Readonly<Record<WorkloadHealth["kind"], number>>;
  #reported: WorkloadHealth | undefined;
  #last: WorkloadHealth["kind"] | undefined;
  #inARow = 0;

  constructor({ successThreshold, failureThreshold }: HealthCheckConfig) {
    this.#thresholds = { healthy: successThreshold, unhealthy: failureThreshold };
  }

  apply(result: WorkloadHealth): WorkloadHealth | undefined {
    this.#inARow = result.kind === this.#last ? this.#inARow + 1 : 1;
    this.#last = result.kind;
    if (isSameHealth(result, this.#reported) || this.#inARow < this.#thresholds[result.kind]) return undefined;
    this.#reported = result;
    return result;
  }
}

function isSameHealth(health: WorkloadHealth, other: WorkloadHealth | undefined): boolean {
  if (health.kind === "healthy" || other?.kind !== "unhealthy") return health.kind === other?.kind;
  return health.reason === other.reason;
}
