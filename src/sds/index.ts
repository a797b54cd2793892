// SPDX-License-Identifier: Apache-2.0
export { serveSds, type SdsDeps } from "./serve-sds.ts";
export { createSdsMetrics, type SdsEvent, type SdsMetrics } from "./sds-metrics.ts";
export type { SdsConfig, PrivateKeyProvider } from "./sds-config.ts";
export { SecretNameError, type SecretName } from "./secret-name.ts";
export type { CrlSource, SecretSource } from "./secret-source.ts";
