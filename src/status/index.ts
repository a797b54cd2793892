// SPDX-License-Identifier: Apache-2.0
import type { StatusConfig } from "./status-config.ts";
import type { StatusDeps, StatusServer } from "./status-server.ts";
import type { StatusSources } from "./status-sources.ts";

export { checkWorkload } from "./probes/workload-check.ts";
export type { Obstacle, ReadinessVerdict } from "./readiness/readiness-judge.ts";
export { type FatalEnd, type ReadinessCheck, renderTermination } from "./readiness/readiness-report.ts";
export type { StatusConfig } from "./status-config.ts";
export { StatusPortError, WorkloadCheckError } from "./status-errors.ts";
export type { StatusServer } from "./status-server.ts";
export type {
  CaFacts,
  CertificateFacts,
  ControlPlaneFacts,
  EnvoyFacts,
  EnvoyLogControl,
  Inspection,
  LogLevelControl,
  XdsFacts,
  XdsTypeFacts,
} from "./inspection.ts";
export type {
  EnvoyReadinessSource,
  MetricsSource,
  ScrapeRequest,
  ScrapeSink,
  StatusSources,
} from "./status-sources.ts";

/**
 * Serves the status port on all addresses until it is disposed, which must be after Envoy is gone. The server's code is
 * loaded here and not before.
 * @throws StatusPortError when the port cannot be opened
 */
export async function listenStatus(
  config: StatusConfig,
  sources: StatusSources,
  deps: StatusDeps,
): Promise<StatusServer> {
  const { startStatusServer } = await import("./status-server.ts");
  return await startStatusServer(config, sources, deps);
}
