// SPDX-License-Identifier: Apache-2.0
export type { HostConfig } from "./host-config.ts";
export { type Host, startHost } from "./host.ts";
export type { MemoryEvents } from "./memory-events.ts";
