// SPDX-License-Identifier: Apache-2.0
export type { PlatformFacts } from "./clouds.ts";
export { lookUpPlatform, type PlatformConfig } from "./platform.ts";
