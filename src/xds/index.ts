// SPDX-License-Identifier: Apache-2.0
export type { AgentResourceType } from "./agent-resources/agent-resource-type.ts";
export { createNameTable } from "./agent-resources/name-table.ts";
export { createTrustAnchors } from "./agent-resources/trust-anchors.ts";
export type { CacheStatus } from "./cache/response-cache.ts";
export { startHealthChecks, type HealthChecksDeps, type WorkloadHealth } from "./health-checks.ts";
export type { Rejection } from "./rejections.ts";
export type { HealthCheckConfig, WasmConfig } from "./xds-config.ts";
export type { XdsMetrics } from "./xds-metrics.ts";
export { serveXdsProxy, type XdsDeps, type XdsProxy, type XdsStatus, type XdsStreamStatus } from "./xds-proxy.ts";
