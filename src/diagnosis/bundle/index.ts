// SPDX-License-Identifier: Apache-2.0
export type { Bundle, ProgressPart } from "./bundle-options.ts";
export { runBundle } from "./run-bundle.ts";
