// SPDX-License-Identifier: Apache-2.0
export { renderBootstrap } from "./bootstrap.ts";
export type { BootstrapConfig } from "./bootstrap-config.ts";
export { BootstrapWriteError } from "./start-files.ts";
export { staticAddresses } from "./listen-addresses.ts";
export { preflightBootstrap, type PreflightFinding } from "./preflight.ts";
export { renderMergedBootstrap, writeStartFiles } from "./start-files.ts";
