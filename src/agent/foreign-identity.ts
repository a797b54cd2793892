// SPDX-License-Identifier: Apache-2.0
import type { Deps } from "../lib/deps.ts";
import type { Gauge } from "../lib/metrics.ts";
import { startTask } from "../lib/async/tasks.ts";
import { isServed } from "../lib/net/unix-socket.ts";

const everyMs = 5_000;

export interface ForeignIdentityDeps extends Deps {
  /** 1 while that process accepts connections, else 0. */
  readonly up: Gauge;
}

/**
 * Looks now and then whether the process that serves Envoy's certificate is there, and tells when that changes. Envoy
 * keeps what it has and connects again by itself, so readiness does not change.
 */
export function watchForeignIdentity(
  socketPath: string,
  { log, clock, fail, up }: ForeignIdentityDeps,
): AsyncDisposable {
  up.set(1);
  return startTask(async (signal) => {
    let served = true;
    while (!signal.aborted) {
      await clock.delay(everyMs, signal);
      const now = await isServed(socketPath);
      if (now !== served) {
        if (now) log.info("the workload certificate is served again", { socketPath });
        else log.warn("nobody serves the workload certificate any more; it is not renewed", { socketPath });
      }
      served = now;
      up.set(served ? 1 : 0);
    }
  }, fail);
}
