// SPDX-License-Identifier: Apache-2.0
// A scraper in a process of its own. Arguments: URL, coding, how many scrapes. Prints the median time of one in
// milliseconds, and how many series of the application the last one had, as JSON.
import { get, type IncomingMessage } from "node:http";
import { buffer } from "node:stream/consumers";
import { gunzipSync } from "node:zlib";

const [url = "", coding = "identity", scrapes = "1"] = process.argv.slice(2);

async function scrape(): Promise<{ readonly ms: number; readonly body: Buffer }> {
  const startMs = performance.now();
  const response = await new Promise<IncomingMessage>((resolve, reject) => {
    const headers = { "Accept-Encoding": coding, "X-Prometheus-Scrape-Timeout-Seconds": "30" };
    get(url, { headers, agent: false }, resolve).on("error", reject);
  });
  const body = await buffer(response);
  if (response.statusCode !== 200) throw new Error(`status ${String(response.statusCode)}`);
  const ms = performance.now() - startMs;
  return { ms, body: response.headers["content-encoding"] === "gzip" ? gunzipSync(body) : body };
}

/** Lines with a value that belong to the application. */
function seriesIn(body: Buffer): number {
  return body.toString("latin1").match(/^app_requests_total\{[^}]*\} \d+$/gm)?.length ?? 0;
}

const times: number[] = [];
let series = 0;
for (let made = 0; made < Number(scrapes); made++) {
  const { ms, body } = await scrape();
  times.push(ms);
  series = made === 0 ? seriesIn(body) : Math.min(series, seriesIn(body));
}
times.sort((a, b) => a - b);
process.stdout.write(JSON.stringify({ ms: times[Math.floor(times.length / 2)], series }));
