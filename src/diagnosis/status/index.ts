// SPDX-License-Identifier: Apache-2.0
export type { PodStatus } from "./pod-status.ts";
export { readStatus } from "./read-status.ts";
export { renderStatus } from "./render-status.ts";
export { watchStatus } from "./watch-status.ts";
