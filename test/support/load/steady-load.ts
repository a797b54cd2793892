// SPDX-License-Identifier: Apache-2.0
import type { LoadClient } from "./http-clients.ts";

export interface LoadReport {
  readonly requests: number;
  /** Requests of each client by its name. */
  readonly byClient: Readonly<Record<string, number>>;
  /** `client: what went wrong`, one entry a failed request, with the millisecond of the load at which it was sent. */
  readonly failures: readonly string[];
}

export interface LoadOptions {
  readonly requestsPerSecond: number;
  /** Take turns. */
  readonly clients: readonly LoadClient[];
  /** The port for the next request: a balancer. Undefined when there is nobody to ask, which is a failed request. */
  readonly pick: () => number | undefined;
}

export interface SteadyLoad {
  /** Waits for the answers that are still out, and closes the clients. */
  stop(): Promise<LoadReport>;
}

const tickMs = 10;

/** Sends requests at a steady rate, whether or not earlier ones were answered, until it is stopped. */
export function startSteadyLoad({ requestsPerSecond, clients, pick }: LoadOptions): SteadyLoad {
  const startMs = performance.now();
  const failures: string[] = [];
  const byClient: Record<string, number> = {};
  const out = new Set<Promise<void>>();
  let sent = 0;
  const send = (): void => {
    const client = clients[sent++ % clients.length];
    if (client === undefined) return;
    byClient[client.name] = (byClient[client.name] ?? 0) + 1;
    const atMs = Math.round(performance.now() - startMs);
    const port = pick();
    const request = port === undefined ? Promise.reject(new Error("nobody is ready")) : client.request(port);
    const done = request
      .catch((error: unknown) => {
        failures.push(
          `${client.name}: ${error instanceof Error ? error.message : String(error)} at ${String(atMs)} ms`,
        );
      })
      .finally(() => out.delete(done));
    out.add(done);
  };
  const timer = setInterval(() => {
    const due = ((performance.now() - startMs) / 1_000) * requestsPerSecond;
    while (sent < due) send();
  }, tickMs);
  return {
    async stop() {
      clearInterval(timer);
      await Promise.all(out);
      for (const client of clients) await client[Symbol.asyncDispose]();
      return { requests: sent, byClient, failures };
    },
  };
}
