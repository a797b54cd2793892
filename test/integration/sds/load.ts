// SPDX-License-Identifier: Apache-2.0
import { systemClock } from "../../../src/lib/async/clock.ts";
import { startTask } from "../../../src/lib/async/tasks.ts";

/** Requests at a steady rate, whatever becomes of the ones before, until disposed. */
export interface Load extends AsyncDisposable {
  readonly requests: number;
  readonly failures: readonly string[];
}

/** @param send one request; resolves to its HTTP status */
export function startLoad(requestsPerSecond: number, send: () => Promise<number>): Load {
  const open = new Set<Promise<void>>();
  const failures: string[] = [];
  let requests = 0;
  const sendOne = async (): Promise<void> => {
    try {
      const status = await send();
      if (status !== 200) failures.push(`status ${String(status)}`);
    } catch (error) {
      failures.push(String(error));
    }
  };
  const task = startTask(
    async (signal) => {
      const startMs = performance.now();
      while (!signal.aborted) {
        for (const due = ((performance.now() - startMs) * requestsPerSecond) / 1_000; requests < due; requests++) {
          const sent: Promise<void> = sendOne().finally(() => open.delete(sent));
          open.add(sent);
        }
        await systemClock.delay(2, signal);
      }
    },
    (error) => failures.push(String(error)),
  );
  return {
    get requests() {
      return requests;
    },
    failures,
    async [Symbol.asyncDispose]() {
      await task[Symbol.asyncDispose]();
      await Promise.all(open);
    },
  };
}
