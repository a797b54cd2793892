// SPDX-License-Identifier: Apache-2.0
import type { Writable } from "node:stream";
import type { Clock } from "../lib/async/clock.ts";
import type { Call } from "./call.ts";
import type { ScrapeSink } from "./status-sources.ts";

/** Compresses what is written to it. */
export interface Encoder {
  readonly coding: string;
  readonly stream: Writable & AsyncIterable<Uint8Array>;
}

interface Member {
  readonly call: Call;
  readonly done: PromiseWithResolvers<undefined>;
}

/** A scraper that has not taken a piece by then is slow. */
const slowAfterMs = 250;
/** It is cut off by then. */
const stalledAfterMs = 10_000;
/** For how long in total slow scrapers may delay others of the same response. */
const longestDelayMs = 1_000;
const checkEveryMs = 50;

export interface ScrapeGroupOptions {
  readonly clock: Clock;
  readonly encoder: Encoder | undefined;
  /** Called before the first piece: no further scraper can join. */
  readonly onBegin: () => void;
  /** Called when all scrapers of the group read slowly. */
  readonly onSlow: () => void;
}

/** Scrapers whose requests are equal, and who get the same response while it is made. */
export class ScrapeGroup implements ScrapeSink {
  readonly #options: ScrapeGroupOptions;
  readonly #members = new Set<Member>();
  readonly #abandoned = new AbortController();
  #delayMs = 0;
  #sent: Promise<void> | undefined;

  constructor(options: ScrapeGroupOptions) {
    this.#options = options;
    options.encoder?.stream.on("error", () => undefined);
  }

  /** Aborts when all scrapers have left. */
  get abandoned(): AbortSignal {
    return this.#abandoned.signal;
  }

  /** Resolves when the response is complete. @throws when the scraper has left; what `fail` was called with */
  async join(call: Call): Promise<void> {
    const member: Member = { call, done: Promise.withResolvers() };
    this.#members.add(member);
    call.response.once("close", () => {
      this.#leave(member);
    });
    if (call.signal.aborted) this.#leave(member);
    await member.done.promise;
  }

  begin(contentType: string): void {
    const { encoder, onBegin } = this.#options;
    onBegin();
    const coding = encoder === undefined ? undefined : { "Content-Encoding": encoder.coding };
    const headers = { "Content-Type": contentType, Vary: "Accept-Encoding", ...coding };
    for (const { call } of this.#members) call.response.writeHead(200, headers);
    if (encoder !== undefined) this.#sent = this.#sendEncoded(encoder);
  }

  /** Resolves when the piece has left this process, so that its memory can be reused. */
  async write(piece: Uint8Array): Promise<void> {
    const { encoder } = this.#options;
    if (encoder === undefined) {
      await this.#send(piece);
      return;
    }
    await new Promise<void>((resolve, reject) => {
      encoder.stream.write(piece, (error) => {
        if (error instanceof Error) reject(error);
        else resolve();
      });
    });
  }

  /** Completes all responses. */
  async end(): Promise<void> {
    this.#options.encoder?.stream.end();
    await this.#sent;
    for (const { call, done } of this.#members) {
      call.response.end();
      done.resolve(undefined);
    }
  }

  /** Ends the responses that are not complete. */
  fail(reason: unknown): void {
    for (const { done } of this.#members) done.reject(reason);
  }

  /** Cuts off all scrapers. */
  close(): void {
    for (const { call } of [...this.#members]) call.response.destroy();
  }

  #leave(member: Member): void {
    if (!this.#members.delete(member)) return;
    const left = new Error("the scraper has left or does not read its response");
    member.done.reject(left);
    if (this.#members.size > 0) return;
    this.#abandoned.abort(left);
    this.#options.encoder?.stream.destroy(left);
  }

  async #sendEncoded({ stream }: Encoder): Promise<void> {
    try {
      for await (const chunk of stream) await this.#send(chunk);
    } catch (error) {
      stream.destroy(error instanceof Error ? error : undefined);
    }
  }

  async #send(piece: Uint8Array): Promise<void> {
    const pending = new Set(this.#members);
    if (pending.size === 0) throw new Error("all scrapers have left");
    const { promise: all, resolve } = Promise.withResolvers<undefined>();
    for (const member of pending) {
      const { response } = member.call;
      const taken = (): void => {
        response.removeListener("close", taken);
        pending.delete(member);
        if (pending.size === 0) resolve(undefined);
      };
      response.once("close", taken);
      response.write(piece, taken);
    }
    await Promise.race([all, nextTurn()]);
    if (pending.size > 0) await this.#untilTaken(all, pending);
    if (this.#members.size === 0) throw new Error("all scrapers have left");
  }

  async #untilTaken(all: Promise<undefined>, pending: ReadonlySet<Member>): Promise<void> {
    const { clock, onSlow } = this.#options;
    for (let waitedMs = 0; pending.size > 0; waitedMs += checkEveryMs) {
      const tick = new AbortController();
      await Promise.race([all, clock.delay(checkEveryMs, tick.signal).catch(() => undefined)]);
      tick.abort();
      if (waitedMs >= slowAfterMs && pending.size === this.#members.size) onSlow();
      if (pending.size > 0 && pending.size < this.#members.size) this.#delayMs += checkEveryMs;
      if (waitedMs < stalledAfterMs && (this.#delayMs <= longestDelayMs || pending.size === this.#members.size))
        continue;
      for (const { call } of [...pending]) call.response.destroy();
    }
  }
}

function nextTurn(): Promise<void> {
  return new Promise((resolve) => {
    setImmediate(resolve);
  });
}
