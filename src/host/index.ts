// SPDX-License-Identifier: Apache-2.0
export { type Host, type HostConfig, startHost } from "./host.ts";
export type { MemoryEvents } from "./memory-events.ts";
export { unblockUserSignal } from "./user-signal.ts";
