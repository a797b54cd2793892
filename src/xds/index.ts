// SPDX-License-Identifier: Apache-2.0
export type { CacheStatus } from "./cache/response-cache.ts";
export type { WorkloadHealth } from "./health/health-state.ts";
export type { HealthCheckConfig } from "./health/health-check-config.ts";
export { startHealthChecks, type HealthChecksDeps } from "./health-checks.ts";
export { createNameTable } from "./agent-resources/name-table.ts";
export type { OwnType } from "./agent-resources/agent-resource-type.ts";
export type { Refusal } from "./rejections.ts";
export type { XdsMetrics } from "./xds-metrics.ts";
export { serveXdsProxy, type XdsDeps, type XdsProxy, type XdsStatus, type XdsStreamStatus } from "./xds-proxy.ts";
export { createTrustAnchors } from "./agent-resources/trust-anchors.ts";
export type { WasmConfig } from "./wasm/wasm-config.ts";
