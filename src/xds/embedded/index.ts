// SPDX-License-Identifier: Apache-2.0
export type { ResourceChange } from "./resource-folder.ts";
export { ResourceProblem } from "./resource-problem.ts";
export type { XdsRejection } from "./source-stream.ts";
export { startXdsSource, type XdsSource, type XdsSourceOptions } from "./xds-source.ts";
