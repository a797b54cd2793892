// SPDX-License-Identifier: Apache-2.0
import { Agent, get } from "node:http";
import { setTimeout as pause } from "node:timers/promises";

/**
 * Probes each of its URLs in turn over a kept connection, time and again, in a process that does nothing else. A message
 * from the parent ends it; it sends back what each probe of each URL took in milliseconds, or the first failure.
 */
const urls = process.argv.slice(2);
const everyMs = 5;
const agent = new Agent({ keepAlive: true });
const durationsMs: number[][] = urls.map(() => []);
const stop = new AbortController();
process.once("message", () => {
  stop.abort();
});

async function probe(url: string): Promise<number> {
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
  return performance.now() - startMs;
}

process.send?.("ready");
let failure: string | undefined;
try {
  while (!stop.signal.aborted) {
    for (const [index, url] of urls.entries()) durationsMs[index]?.push(await probe(url));
    await pause(everyMs);
  }
} catch (error) {
  failure = String(error);
}
agent.destroy();
process.send?.({ durationsMs, failure });
process.disconnect?.();
