// SPDX-License-Identifier: Apache-2.0

export interface BackoffPolicy {
  readonly firstMs: number;
  readonly factor: number;
  readonly maxMs: number;
}

/**
 * The wait before try number `attempt` (0 is the first wait), with full jitter: uniform between `floorMs` and the
 * exponential ceiling, so that a fleet that failed together does not come back together.
 * @param random uniform in [0, 1)
 * @param floorMs the shortest wait, for example the one that the server requested
 */
export function backoffMs(policy: BackoffPolicy, attempt: number, random: number, floorMs = 0): number {
  const ceilingMs = Math.min(policy.maxMs, policy.firstMs * policy.factor ** Math.min(attempt, 64));
  return floorMs + random * Math.max(0, ceilingMs - floorMs);
}
