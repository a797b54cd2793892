// SPDX-License-Identifier: Apache-2.0
import { readFile } from "node:fs/promises";
import { type Clock, deadline } from "../lib/async/clock.ts";
import { systemCode } from "../lib/errors.ts";

const checkEveryMs = 50;
const startsWithinMs = 10_000;
/** The bit of SIGUSR1, signal 10, in the masks of /proc. Source: proc(5), signal(7) */
const userSignalBit = 1n << 9n;

/**
 * Has each Envoy open its log files again: access logs, `--log-path` and event logs. Sends SIGUSR1, which also reaches an
 * Envoy without an admin interface. An Envoy that does not handle the signal yet would be ended by it: it gets the signal
 * when it does.
 * @returns the processes that did not handle the signal within ten seconds
 * Source: Envoy's hot restarter documentation; observed with Envoy 1.40
 */
export async function reopenEnvoyLogs(
  pids: readonly number[],
  clock: Clock,
  signal: AbortSignal,
): Promise<readonly number[]> {
  using limit = deadline(clock, startsWithinMs, signal);
  let waiting = pids;
  for (;;) {
    const states = await Promise.all(waiting.map(handlesUserSignal));
    for (const [index, pid] of waiting.entries()) if (states[index] === true) sendUserSignal(pid);
    waiting = waiting.filter((_, index) => states[index] === false);
    if (waiting.length === 0) return [];
    await clock.delay(checkEveryMs, limit.signal).catch(() => undefined);
    signal.throwIfAborted();
    if (limit.signal.aborted) return waiting;
  }
}

/** Undefined for a process that has exited. */
async function handlesUserSignal(pid: number): Promise<boolean | undefined> {
  const status = await readFile(`/proc/${String(pid)}/status`, "utf8").catch(() => undefined);
  return status === undefined ? undefined : caughtSignals(status, userSignalBit);
}

/** @param status the text of `/proc/PID/status` */
export function caughtSignals(status: string, bits: bigint): boolean {
  const mask = /^SigCgt:\s*([0-9a-f]+)$/m.exec(status)?.[1];
  return mask !== undefined && (BigInt(`0x${mask}`) & bits) === bits;
}

function sendUserSignal(pid: number): void {
  try {
    process.kill(pid, "SIGUSR1");
  } catch (error) {
    if (systemCode(error) !== "ESRCH") throw error;
  }
}
