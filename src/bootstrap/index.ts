// SPDX-License-Identifier: Apache-2.0
export { renderBootstrap } from "./bootstrap.ts";
export type { BootstrapConfig } from "./bootstrap-config.ts";
export { BootstrapWriteError, writeAccessToken, writeBootstrap, writeGrpcBootstrap } from "./bootstrap-file.ts";
