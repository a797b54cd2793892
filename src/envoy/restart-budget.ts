// SPDX-License-Identifier: Apache-2.0
import { type BackoffPolicy, backoffMs } from "../lib/async/backoff.ts";
import type { RestartConfig } from "./envoy-config.ts";
import type { EnvoyExit } from "./envoy-exit.ts";

/** A crash at once after the start is tried again soon, one that repeats ever later. */
const backoff: BackoffPolicy = { firstMs: 200, factor: 2, maxMs: 10_000 };
const leastDelayMs = 50;

/** Only a failure is worth another try: not an end that was asked for, a clean one, or a binary that cannot run. */
export function isWorthRestart(exit: EnvoyExit): boolean {
  return !exit.asked && exit.kind !== "not-run" && !(exit.kind === "code" && exit.code === 0);
}

/**
 * How long to wait before the next start of an Envoy that failed.
 * @param restartsMs times of the restarts so far, in milliseconds of a running clock, oldest first
 * @param random uniform in [0, 1)
 * @returns milliseconds; undefined when the budget of the window is spent
 */
export function restartDelayMs(
  restartsMs: readonly number[],
  nowMs: number,
  { budget, windowMs }: RestartConfig,
  random: number,
): number | undefined {
  const recent = restartsMs.filter((atMs) => nowMs - atMs < windowMs).length;
  return recent >= budget ? undefined : backoffMs(backoff, recent, random, leastDelayMs);
}
