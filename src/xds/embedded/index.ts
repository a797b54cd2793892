// SPDX-License-Identifier: Apache-2.0
export { ResourceProblem } from "./resource-problem.ts";
export { startXdsSource, type XdsSource, type XdsSourceOptions } from "./xds-source.ts";
