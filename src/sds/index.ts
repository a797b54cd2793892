// SPDX-License-Identifier: Apache-2.0
export type { SdsConfig } from "./sds-config.ts";
export type { SdsEvent, SdsMetrics } from "./sds-metrics.ts";
export type { SecretSource } from "./secret-source.ts";
export { serveSds } from "./serve-sds.ts";
