// SPDX-License-Identifier: Apache-2.0
import type { ServerResponse } from "node:http";
import type { Writable } from "node:stream";
import type { Clock } from "../lib/async/clock.ts";
import type { Semaphore } from "../lib/async/semaphore.ts";
import { type Call, onlyLocalhost, sendReply } from "./call.ts";
import { isLocalConnection } from "./local-caller.ts";
import type { StatusConfig } from "./status-config.ts";
import type { ScrapeSink, StatusSources } from "./status-sources.ts";

interface ScrapeContext {
  readonly config: Pick<StatusConfig, "metricsLocalhostOnly">;
  readonly sources: Pick<StatusSources, "metrics">;
  /** A scrape takes memory and time, so few run at once. */
  readonly scrapes: Semaphore;
  readonly clock: Clock;
}

/** A scraper that reads nothing for this long is disconnected. */
const stalledAfterMs = 10_000;
const slowAfterMs = 250;

/** Responds to a scrape with 200 and all metrics that could be read. */
export async function handleScrape({ config, sources, scrapes, clock }: ScrapeContext, call: Call): Promise<void> {
  const { request, response, query, signal } = call;
  if (config.metricsLocalhostOnly && !isLocalConnection(request.socket)) {
    sendReply(call, onlyLocalhost);
    return;
  }
  const { accept, "user-agent": userAgent, "x-prometheus-scrape-timeout-seconds": timeout } = request.headers;
  const timeoutSeconds = typeof timeout === "string" ? timeout : undefined;
  const startedMs = clock.monotonicMs();
  using place = await scrapes.acquire(signal);
  const waitedMs = clock.monotonicMs() - startedMs;
  const output = new ScrapeOutput(response, await encoderFor(call), place);
  await sources.metrics.scrape({ accept, userAgent, timeoutSeconds, query, waitedMs, hurry: signal }, output, signal);
  output.end();
}

/** zlib is loaded for the first scraper that accepts compression. */
async function encoderFor({ request }: Call): Promise<Encoder | undefined> {
  const header = request.headers["accept-encoding"];
  if (typeof header !== "string") return undefined;
  const { chooseCoding, createEncoder } = await import("./content-coding.ts");
  const coding = chooseCoding(header);
  return coding === undefined ? undefined : { coding, stream: createEncoder(coding) };
}

interface Encoder {
  readonly coding: string;
  readonly stream: Writable & { pipe(destination: ServerResponse): unknown };
}

/** Sends the response of a scrape, compressed where the scraper accepts that. */
class ScrapeOutput implements ScrapeSink {
  readonly #response: ServerResponse;
  readonly #encoder: Encoder | undefined;
  readonly #target: Writable;
  readonly #place: Disposable;

  /** @param place in the semaphore; freed early when the scraper reads slowly */
  constructor(response: ServerResponse, encoder: Encoder | undefined, place: Disposable) {
    this.#place = place;
    this.#response = response;
    this.#encoder = encoder;
    this.#target = encoder?.stream ?? response;
    encoder?.stream.pipe(response);
    response.once("close", () => encoder?.stream.destroy());
    this.#target.on("error", () => undefined);
  }

  begin(contentType: string): void {
    const headers = { "Content-Type": contentType, Vary: "Accept-Encoding" };
    const coding = this.#encoder?.coding;
    this.#response.writeHead(200, coding === undefined ? headers : { ...headers, "Content-Encoding": coding });
  }

  /** Resolves when the piece has left this process, so that its memory can be reused. */
  write(piece: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      const response = this.#response;
      if (response.destroyed) {
        reject(new Error("the scraper has left"));
        return;
      }
      const onSlow = (): void => {
        // a scraper that reads slowly does not block the next one
        this.#place[Symbol.dispose]();
        response.setTimeout(stalledAfterMs, () => response.destroy());
      };
      const onClosed = (): void => {
        reject(new Error("the scraper has left or does not read its response"));
      };
      response.once("timeout", onSlow);
      response.setTimeout(slowAfterMs);
      response.once("close", onClosed);
      this.#target.write(piece, (error) => {
        response.setTimeout(0);
        response.removeAllListeners("timeout");
        response.removeListener("close", onClosed);
        if (error instanceof Error) reject(error);
        else resolve();
      });
    });
  }

  end(): void {
    this.#target.end();
  }
}
