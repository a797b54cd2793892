// SPDX-License-Identifier: Apache-2.0
import type { Deps } from "../lib/deps.ts";
import type { StatusConfig } from "./status-config.ts";
import type { StatusServer } from "./status-server.ts";
import type { StatusSources } from "./status-sources.ts";

export type { EnvoyReadiness, EnvoyReadinessSource } from "./envoy-readiness.ts";
export type { CertificateFacts, Inspection, LogLevelControl, XdsFacts } from "./inspection.ts";
export type { StatusConfig } from "./status-config.ts";
export type { ReadinessCheck } from "./readiness-report.ts";
export { type FatalEnd, renderTermination } from "./termination-report.ts";
export { StatusPortError } from "./status-errors.ts";
export type { Obstacle, ReadinessVerdict } from "./readiness-judge.ts";
export type { StatusServer } from "./status-server.ts";
export type { MetricsSource, ScrapeRequest, ScrapeSink, StatusSources } from "./status-sources.ts";

/**
 * Serves the status port on all addresses until it is disposed, which is to be after Envoy is gone. What it is made of
 * is loaded here and not before.
 * @throws StatusPortError when the port cannot be opened
 */
export async function listenStatus(
  config: StatusConfig,
  sources: StatusSources,
  deps: Pick<Deps, "log" | "clock" | "fail">,
): Promise<StatusServer> {
  const { startStatusServer } = await import("./status-server.ts");
  return await startStatusServer(config, sources, deps);
}
export { checkWorkload, WorkloadCheckError } from "./workload-probe.ts";
