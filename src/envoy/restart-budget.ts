// SPDX-License-Identifier: Apache-2.0
import { type BackoffPolicy, backoffMs } from "../lib/async/backoff.ts";
import type { RestartConfig } from "./envoy-config.ts";
import type { EnvoyExit } from "./envoy-exit.ts";

const backoff: BackoffPolicy = { firstMs: 200, factor: 2, maxMs: 10_000 };
const minDelayMs = 50;

/** Only a failure is followed by a restart: not a requested or clean exit, nor a binary that cannot be executed. */
export function isFailure(exit: EnvoyExit): boolean {
  return !exit.requested && exit.kind !== "not-run" && !(exit.kind === "code" && exit.code === 0);
}

/**
 * The delay before Envoy is restarted.
 * @param restartsMs times of the restarts so far, in milliseconds of a monotonic clock, oldest first
 * @param random uniform in [0, 1)
 * @returns milliseconds; undefined when the budget of the window is used up
 */
export function restartDelayMs(
  restartsMs: readonly number[],
  nowMs: number,
  { budget, windowMs }: RestartConfig,
  random: number,
): number | undefined {
  const recent = restartsMs.filter((atMs) => nowMs - atMs < windowMs).length;
  return recent >= budget ? undefined : backoffMs(backoff, recent, random, minDelayMs);
}
