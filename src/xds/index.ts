// SPDX-License-Identifier: Apache-2.0
import type { Clock } from "../lib/async/clock.ts";
import type { ControlPlane, ControlPlaneOptions } from "./embedded/control-plane.ts";
import type { ControlPlaneProbe, ControlPlaneProbeDeps } from "./probe.ts";
import type { XdsConfig } from "./xds-config.ts";

export type { AgentResourceType } from "./agent-resources/agent-resource-type.ts";
export { createNameTable } from "./agent-resources/name-table.ts";
export { createTrustAnchors } from "./agent-resources/trust-anchors.ts";
export type { AgentResourceStatus } from "./agent-resources/agent-resource-outcomes.ts";
export type { CacheStatus } from "./cache/response-cache.ts";
export { startHealthChecks, type HealthChecksDeps, type WorkloadHealth } from "./health-checks.ts";
export type { Rejection } from "./rejections.ts";
export type { ControlPlane, ControlPlaneEvent, ControlPlaneOptions } from "./embedded/control-plane.ts";
export type { HealthCheckConfig, WasmConfig } from "./xds-config.ts";
export type { SyncState } from "./sync-progress.ts";
export type { ControlPlaneStatus } from "./upstream/control-plane-state.ts";
export type { ControlPlaneProbe } from "./probe.ts";
export type { XdsMetrics } from "./xds-metrics.ts";
export {
  serveXdsProxy,
  type XdsDeps,
  type XdsProxy,
  type XdsStatus,
  type XdsStreamStatus,
  type XdsTypeStatus,
} from "./xds-proxy.ts";

/**
 * Starts the embedded control plane, and loads its libraries only now.
 * @throws ResourceFileError when a file is invalid at the start
 */
export async function startControlPlane(
  options: ControlPlaneOptions,
  deps: { readonly clock: Clock },
): Promise<ControlPlane> {
  const { serveControlPlane } = await import("./embedded/control-plane.ts");
  return serveControlPlane(options, deps);
}

/** Asks a control plane whether it accepts this workload, without registering it. @throws the signal's reason */
export async function probeControlPlane(
  config: XdsConfig,
  timeoutMs: number,
  deps: ControlPlaneProbeDeps,
  signal: AbortSignal,
): Promise<ControlPlaneProbe> {
  return await (await import("./probe.ts")).probeControlPlane(config, timeoutMs, deps, signal);
}
