// SPDX-License-Identifier: Apache-2.0
import { type Fetch, type FetchTarget, startFetch } from "./http-get.ts";
import { parseScrapeFormat, type ScrapeFormat } from "./scrape-format.ts";

/** How a target stands once no more is to be waited for before the answer begins. */
export type TargetDecision =
  | { readonly kind: "failed"; readonly reason: Error }
  /** The body is here whole, or so much of it that the rest is streamed when its turn comes. */
  | { readonly kind: "usable"; readonly format: ScrapeFormat };

export interface TargetLimits {
  /** A larger body is refused when its length is announced, else cut at a line. */
  readonly maxBytes: number;
  /** Bodies up to this are taken whole or not at all. */
  readonly wholeBytes: number;
}

/** Takes bytes; resolves when their memory may be used again. */
export type PieceWriter = (bytes: Uint8Array) => Promise<void>;

/** One target's body on its way into the answer. */
export class TargetFetch {
  readonly target: FetchTarget;
  readonly decided: Promise<TargetDecision>;
  readonly #limits: TargetLimits;
  readonly #fetch: Fetch;
  readonly #kept: Uint8Array[] = [];
  #receivedBytes = 0;
  #format: ScrapeFormat = { kind: "text" };
  #decide: (decision: TargetDecision) => void;
  #write: PieceWriter | undefined;

  constructor(target: FetchTarget, headers: Readonly<Record<string, string>>, limits: TargetLimits) {
    this.target = target;
    this.#limits = limits;
    const { promise, resolve } = Promise.withResolvers<TargetDecision>();
    this.decided = promise;
    this.#decide = resolve;
    this.#fetch = startFetch(target, headers, {
      head: (status, received) => {
        this.#head(status, received);
      },
      piece: (bytes) => this.#piece(bytes),
    });
    this.#fetch.done.then(
      () => {
        this.#decide({ kind: "usable", format: this.#format });
      },
      (reason: unknown) => {
        this.#decide({ kind: "failed", reason: reason instanceof Error ? reason : new Error(String(reason)) });
      },
    );
  }

  /**
   * Hands the body over, to be called once, after the decision.
   * @throws FetchError when a body that was begun does not come to its end; what came of it was handed over
   */
  async emit(write: PieceWriter): Promise<void> {
    for (const bytes of this.#kept.splice(0)) await write(bytes);
    this.#write = write;
    this.#fetch.resume();
    await this.#fetch.done;
  }

  cancel(cause: Error): void {
    this.#fetch.cancel(cause);
  }

  #head(status: number, headers: ReadonlyMap<string, string>): void {
    if (status !== 200) throw new Error(`status code ${String(status)}`);
    const encoding = headers.get("content-encoding") ?? "identity";
    if (encoding !== "identity") throw new Error(`the body is encoded as ${encoding}, which was not asked for`);
    if (Number(headers.get("content-length") ?? 0) > this.#limits.maxBytes) throw this.#tooLarge();
    this.#format = parseScrapeFormat(headers.get("content-type"));
  }

  #piece(bytes: Uint8Array): boolean {
    this.#receivedBytes += bytes.byteLength;
    if (this.#receivedBytes > this.#limits.maxBytes) throw this.#tooLarge();
    if (this.#write === undefined) return this.#keep(bytes);
    this.#write(bytes).then(
      () => {
        this.#fetch.resume();
      },
      (error: unknown) => {
        this.cancel(error instanceof Error ? error : new Error(String(error)));
      },
    );
    return false;
  }

  #keep(bytes: Uint8Array): boolean {
    this.#kept.push(Uint8Array.from(bytes));
    if (this.#receivedBytes <= this.#limits.wholeBytes) return true;
    this.#decide({ kind: "usable", format: this.#format });
    return false;
  }

  #tooLarge(): Error {
    return new Error(`response exceeds ${String(this.#limits.maxBytes)} bytes`);
  }
}
