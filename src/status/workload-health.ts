// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/clock.ts";
import { describeError } from "../lib/errors.ts";
import type { Logger } from "../lib/log.ts";
import { envoyObstacle, type EnvoyReadinessSource } from "./envoy-readiness.ts";
import type { WorkloadHealthConfig } from "./workload-health-config.ts";
import { HealthTally, type WorkloadHealth } from "./health-tally.ts";

export interface WorkloadHealthSources {
  /** Asked before the workload, until it was ready once; undefined when the agent runs without Envoy. */
  readonly envoy: EnvoyReadinessSource | undefined;
  /** Told of each change, and of the first state. */
  readonly report: (health: WorkloadHealth) => void;
}

const envoyTimeoutMs = 4_000;

/**
 * Probes a workload again and again until the signal aborts, and reports every change of its health.
 * Source: istio pkg/istio-agent/health, observed with pilot-agent
 */
export async function runWorkloadHealth(
  config: WorkloadHealthConfig,
  sources: WorkloadHealthSources,
  deps: { readonly clock: Clock; readonly log: Logger },
  signal: AbortSignal,
): Promise<void> {
  const { probeWorkload } = await import("./workload-probe.ts");
  const log = deps.log.scope("healthcheck");
  const tally = new HealthTally(config);
  let envoyWasReady = sources.envoy === undefined;
  const attempt = async (): Promise<string | undefined> => {
    if (!envoyWasReady) {
      const obstacle = await envoyState(sources.envoy, signal);
      if (obstacle !== undefined) return obstacle;
      envoyWasReady = true;
    }
    return await probeWorkload(config, deps, signal);
  };
  log.info("starting health check", { kind: config.handler.kind, periodMs: config.periodMs });
  try {
    await deps.clock.delay(config.initialDelayMs, signal);
    for (;;) {
      const change = tally.count(await attempt());
      if (change !== undefined && !signal.aborted) {
        if (change.kind === "healthy") log.info("success threshold hit, marking as healthy");
        else log.warn("failure threshold hit, marking as unhealthy", { reason: change.reason });
        sources.report(change);
      }
      await deps.clock.delay(config.periodMs, signal);
    }
  } catch (error) {
    if (!signal.aborted) throw error;
  }
}

async function envoyState(envoy: EnvoyReadinessSource | undefined, signal: AbortSignal): Promise<string | undefined> {
  if (envoy === undefined) return undefined;
  try {
    return envoyObstacle(await envoy.read(AbortSignal.any([signal, AbortSignal.timeout(envoyTimeoutMs)])));
  } catch (error) {
    return describeError(error);
  }
}
