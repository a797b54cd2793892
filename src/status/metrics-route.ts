// SPDX-License-Identifier: Apache-2.0
import type { ServerResponse } from "node:http";
import type { Writable } from "node:stream";
import type { Call, RouteContext } from "./call.ts";
import { isLoopback } from "./caller.ts";
import { onlyLocalhost, sendReply } from "./reply.ts";
import type { ScrapeSink } from "./status-sources.ts";

/** A scraper that takes nothing for this long is let go. */
const stalledAfterMs = 10_000;
const slowAfterMs = 250;

/** Answers a scrape: always 200, with whatever could be had. */
export async function answerMetrics({ config, sources, permits }: RouteContext, call: Call): Promise<void> {
  const { request, response, query, signal } = call;
  if (config.metricsLocalhostOnly && !isLoopback(request.socket.remoteAddress)) {
    sendReply(call, onlyLocalhost);
    return;
  }
  const { accept, "user-agent": userAgent, "x-prometheus-scrape-timeout-seconds": timeout } = request.headers;
  const timeoutSeconds = typeof timeout === "string" ? timeout : undefined;
  using permit = await permits.acquire(signal);
  const output = new ScrapeOutput(response, await encoderFor(call), permit);
  await sources.metrics.scrape({ accept, userAgent, timeoutSeconds, query }, output, signal);
  output.end();
}

/** zlib is loaded for the first scraper that wants it. */
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

/** The answer of a scrape on its way out, compressed where the scraper likes that. */
class ScrapeOutput implements ScrapeSink {
  readonly #response: ServerResponse;
  readonly #encoder: Encoder | undefined;
  readonly #target: Writable;
  readonly #permit: Disposable;

  constructor(response: ServerResponse, encoder: Encoder | undefined, permit: Disposable) {
    this.#permit = permit;
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

  /** Resolves when the piece has left this process, so that its memory can be used for the next. */
  write(piece: Uint8Array): Promise<void> {
    return new Promise((resolve, reject) => {
      const response = this.#response;
      if (response.destroyed) {
        reject(new Error("the scraper has gone"));
        return;
      }
      const onStalled = (): void => {
        // a scraper that reads slowly is no reason for the next one to wait
        this.#permit[Symbol.dispose]();
        response.setTimeout(stalledAfterMs, () => response.destroy());
      };
      const onClosed = (): void => {
        reject(new Error("the scraper has gone or does not take the answer"));
      };
      response.once("timeout", onStalled);
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
