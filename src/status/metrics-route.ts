// SPDX-License-Identifier: Apache-2.0
import type { ServerResponse } from "node:http";
import { isLoopback } from "./caller.ts";
import { onlyLocalhost, sendReply } from "./reply.ts";
import type { Call, RouteContext } from "./call.ts";
import type { ScrapeSink } from "./status-sources.ts";

/** A scraper that takes nothing for this long is let go. */
const stalledAfterMs = 10_000;

/** Answers a scrape: always 200, with whatever could be had. */
export async function answerMetrics({ config, sources }: RouteContext, call: Call): Promise<void> {
  const { request, response, query, signal } = call;
  if (config.metricsLocalhostOnly && !isLoopback(request.socket.remoteAddress)) {
    sendReply(response, onlyLocalhost);
    return;
  }
  const { accept, "user-agent": userAgent, "x-prometheus-scrape-timeout-seconds": timeout } = request.headers;
  const timeoutSeconds = typeof timeout === "string" ? timeout : undefined;
  await sources.metrics.scrape({ accept, userAgent, timeoutSeconds, query }, scrapeSink(response, signal), signal);
  response.end();
}

function scrapeSink(response: ServerResponse, signal: AbortSignal): ScrapeSink {
  return {
    begin(contentType) {
      response.writeHead(200, { "Content-Type": contentType, Vary: "Accept-Encoding" });
    },
    write: (piece) => written(response, piece, signal),
  };
}

/** Resolves when the piece has left this process, so that its memory can be used for the next. */
function written(response: ServerResponse, piece: Uint8Array, signal: AbortSignal): Promise<void> {
  return new Promise((resolve, reject) => {
    const limit = AbortSignal.any([signal, AbortSignal.timeout(stalledAfterMs)]);
    const onAbort = (): void => {
      response.destroy();
      reject(new Error("the scraper does not take the answer"));
    };
    limit.addEventListener("abort", onAbort, { once: true });
    if (limit.aborted) onAbort();
    else {
      response.write(piece, (error) => {
        limit.removeEventListener("abort", onAbort);
        if (error instanceof Error) reject(error);
        else resolve();
      });
    }
  });
}
