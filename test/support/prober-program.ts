// SPDX-License-Identifier: Apache-2.0
import { Agent, get } from "node:http";
import { setTimeout as pause } from "node:timers/promises";
import type { ProbeTarget } from "./prober.ts";
import { waitedForProcessorMs } from "./stopwatch.ts";

/**
 * Probes each of its targets in turn over a kept connection, time and again, in a process that does nothing else. A
 * message from the parent ends it; it sends back what each probe of each target took in milliseconds, or the first
 * failure.
 */
const targets = JSON.parse(process.argv[2] ?? "[]") as readonly ProbeTarget[];
const everyMs = 5;
const agent = new Agent({ keepAlive: true });
const durationsMs: number[][] = targets.map(() => []);
const stop = new AbortController();
process.once("message", () => {
  stop.abort();
});

/** Ready to run, and without a processor: this process and the one that answers. */
function waitedMs(pid: number | undefined): number {
  if (pid === undefined) return 0;
  return (waitedForProcessorMs(process.pid) ?? 0) + (waitedForProcessorMs(pid) ?? 0);
}

async function probe({ url, pid }: ProbeTarget): Promise<number> {
  const waitedBeforeMs = waitedMs(pid);
  const startMs = performance.now();
  await new Promise<void>((resolve, reject) => {
    get(url, { agent }, (response) => {
      response.resume();
      response.once("end", () => {
        if (response.statusCode === 200) resolve();
        else reject(new Error(`${url} answered ${String(response.statusCode)}`));
      });
    }).once("error", reject);
  });
  const tookMs = performance.now() - startMs;
  return Math.max(0, tookMs - (waitedMs(pid) - waitedBeforeMs));
}

process.send?.("ready");
let failure: string | undefined;
try {
  while (!stop.signal.aborted) {
    for (const [index, target] of targets.entries()) durationsMs[index]?.push(await probe(target));
    await pause(everyMs);
  }
} catch (error) {
  failure = String(error);
}
agent.destroy();
// a long message is still on its way when this call returns
process.send?.({ durationsMs, failure }, () => process.disconnect?.());
