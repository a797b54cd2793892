// SPDX-License-Identifier: Apache-2.0
export type { CacheStatus } from "./answer-cache.ts";
export type { WorkloadHealth } from "./health/health-state.ts";
export type { HealthCheckConfig } from "./health/health-check-config.ts";
export { startHealthChecks, type HealthChecksDeps } from "./health/health-checks.ts";
export { createNameTable } from "./name-table.ts";
export type { OwnType } from "./own-type.ts";
export type { Refusal } from "./refusals.ts";
export type { XdsMetrics } from "./xds-metrics.ts";
export { serveXdsProxy, type XdsDeps, type XdsProxy, type XdsStatus, type XdsStreamStatus } from "./xds-proxy.ts";
export { createTrustAnchors } from "./trust-anchors.ts";
export type { WasmConfig } from "./wasm/wasm-config.ts";
