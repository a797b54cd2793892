// SPDX-License-Identifier: Apache-2.0

/**
 * Flow control windows for both roles. HTTP/2's own connection window of 64 KiB throttles large configuration
 * pushes; a stream's window is also what a stalled reader can cost.
 */
export const windowSettings = { streamBytes: 1024 * 1024, connectionBytes: 2 * 1024 * 1024 } as const;
