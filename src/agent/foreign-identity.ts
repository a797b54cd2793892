// SPDX-License-Identifier: Apache-2.0
import type { Deps } from "../lib/deps.ts";
import { Measure } from "../lib/measures.ts";
import { startTask } from "../lib/async/tasks.ts";
import { isServed } from "../lib/net/unix-socket.ts";
import type { MetricFamily } from "../metrics/index.ts";

const everyMs = 5_000;

/** A watch over somebody else's server, and what is seen of it. */
export interface ForeignIdentity extends AsyncDisposable {
  readonly families: readonly MetricFamily[];
}

/**
 * Looks now and then whether the process that serves Envoy's certificate is there, and tells when that changes. Envoy
 * keeps what it has and connects again by itself, so readiness does not change.
 */
export function watchForeignIdentity(socketPath: string, { log, clock, fail }: Deps): ForeignIdentity {
  const up = new Measure();
  up.set(1);
  const task = startTask(async (signal) => {
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
  const help = "Whether the process that serves the workload's certificate in our place accepts connections.";
  return {
    families: [{ name: "attache_foreign_sds_up", help, kind: "gauge", measure: up }],
    [Symbol.asyncDispose]: () => task[Symbol.asyncDispose](),
  };
}
