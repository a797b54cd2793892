// SPDX-License-Identifier: Apache-2.0
import { Agent, get } from "node:http";
import { setTimeout as pause } from "node:timers/promises";

/**
 * Probes an HTTP port over one connection, time and again, in a process of its own so that no other work is measured.
 * A message from the parent ends it; it sends back the 99th percentile.
 */
const port = Number(process.argv[2]);
const agent = new Agent({ keepAlive: true });
const durationsMs: number[] = [];
const stop = new AbortController();
process.once("message", () => {
  stop.abort();
});
process.send?.({ ready: true });
while (!stop.signal.aborted) {
  const startMs = performance.now();
  await new Promise<void>((resolve, reject) => {
    get({ port, agent, host: "127.0.0.1" }, (response) => {
      response.resume();
      response.once("end", () => {
        resolve();
      });
    }).once("error", reject);
  });
  durationsMs.push(performance.now() - startMs);
  await pause(5);
}
agent.destroy();
durationsMs.sort((a, b) => a - b);
process.send?.({ p99Ms: durationsMs[Math.floor(durationsMs.length * 0.99)] });
process.disconnect?.();
