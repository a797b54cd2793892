// SPDX-License-Identifier: Apache-2.0
import type { Budget } from "../lib/budget.ts";
import { formatHostPort } from "../lib/net/host-port.ts";
import type { Budgets } from "../model/limits.ts";
import type { ScrapeTarget } from "../model/scrape-target.ts";
import { BlockBuffer } from "./buffers.ts";
import { startDecodedFetch } from "./decoded-fetch.ts";
import type { Fetch, FetchReader, RequestHeaders } from "./http-get.ts";
import { parseDeclaration } from "./metric-text.ts";
import { isMetricText, parseScrapeFormat, type ScrapeFormat } from "./negotiation.ts";

/** The state of a target when the response begins. */
export type TargetDecision =
  | { readonly kind: "failed"; readonly reason: Error }
  /** The whole body has arrived, or so much of it that the rest is streamed later. */
  | { readonly kind: "usable"; readonly format: ScrapeFormat };

export interface TargetFetchOptions {
  readonly target: ScrapeTarget;
  readonly headers: RequestHeaders;
  /** Whether the body has a limit: a larger one fails if its length is announced, else it is cut at a line break. */
  readonly limitBody: boolean;
  /** Of the body as much is held as there is space for; a body up to that size is taken whole or not at all. */
  readonly budgets: Budgets;
}

const maxRedirects = 5;

/** As the body says it. */
export interface DeclaredFamily {
  readonly family: string;
  readonly type: string;
}

/** Resolves when the memory of the bytes may be reused. */
export type PieceWriter = (bytes: Uint8Array) => Promise<void>;

/** Fetches one target's metrics: buffers the beginning until the decision, and streams the rest into the response. */
export class TargetFetch {
  readonly decided: Promise<TargetDecision>;
  /** For the families that the body declares. */
  readonly families: Budget;
  readonly #headers: RequestHeaders;
  /** Undefined without a limit. */
  readonly #body: Budget | undefined;
  readonly #held: Budget;
  readonly #headerBytes: Budget;
  readonly #decoders: Budget;
  #target: ScrapeTarget;
  #fetch: Fetch;
  #redirect: ScrapeTarget | undefined;
  #redirects = 0;
  #isComplete = false;
  readonly #buffered = new BlockBuffer();
  #format: ScrapeFormat = { kind: "text" };
  #decide: (decision: TargetDecision) => void;
  #write: PieceWriter | undefined;
  #last: Promise<void> = Promise.resolve();

  constructor({ target, headers, limitBody, budgets }: TargetFetchOptions) {
    this.#target = target;
    this.#headers = headers;
    this.#body = limitBody ? budgets.of("scrape-body-bytes").child() : undefined;
    this.families = budgets.of("scrape-families-of-target").child();
    this.#held = budgets.of("scrape-held-bytes-of-target").child();
    this.#headerBytes = budgets.of("scrape-header-bytes");
    this.#decoders = budgets.of("scrape-decoders");
    const { promise, resolve } = Promise.withResolvers<TargetDecision>();
    this.decided = promise;
    this.#decide = resolve;
    this.#fetch = this.#start();
  }

  #start(): Fetch {
    const reader: FetchReader = {
      headerBytes: this.#headerBytes,
      head: (status, received) => {
        this.#head(status, received);
      },
      piece: (bytes) => this.#piece(bytes),
    };
    const fetch = startDecodedFetch(this.#target, this.#headers, reader, this.#decoders);
    fetch.done.then(
      () => {
        this.#isComplete = true;
        this.#decideByBody();
      },
      (reason: unknown) => {
        if (this.#redirect === undefined) this.#decide({ kind: "failed", reason: toError(reason) });
        else {
          this.#target = this.#redirect;
          this.#redirect = undefined;
          this.#fetch = this.#start();
        }
      },
    );
    return fetch;
  }

  /**
   * Writes the body; call it once, after the decision.
   * @throws FetchError when the body is incomplete; what arrived of it has been written
   */
  async emit(write: PieceWriter): Promise<void> {
    for (const bytes of this.#buffered.take()) {
      await write(bytes);
      this.#held.release(bytes.byteLength);
    }
    this.#write = write;
    this.#fetch.resume();
    await this.#fetch.done;
    await this.#last;
    this.#fetch.release();
  }

  /** Whether the whole body is buffered. */
  get isComplete(): boolean {
    return this.#isComplete;
  }

  get bufferedBytes(): number {
    return this.#buffered.byteLength;
  }

  /** The families that the buffered part of the body declares; call it after the decision and before `emit`. */
  *declaredFamilies(): Iterable<DeclaredFamily> {
    let text = "\n";
    for (const piece of this.#buffered.pieces()) {
      text += piece.toString("latin1");
      const end = text.lastIndexOf("\n");
      yield* typesIn(text.slice(0, end));
      text = text.slice(end);
    }
    yield* typesIn(text);
  }

  /** Fails the fetch; has no effect on one that has ended. */
  cancel(cause: Error): void {
    this.#redirect = undefined;
    this.#redirects = maxRedirects;
    this.#fetch.cancel(cause);
  }

  /** Ends the fetch, and releases what is held of the body. */
  [Symbol.dispose](): void {
    this.cancel(new Error("the scrape ended"));
    this.#buffered.take();
    this.#held[Symbol.dispose]();
    this.#body?.[Symbol.dispose]();
    this.families[Symbol.dispose]();
  }

  #head(status: number, headers: ReadonlyMap<string, string>): void {
    if (status !== 200) {
      const location = status >= 300 && status < 400 ? headers.get("location") : undefined;
      if (location !== undefined && this.#redirects++ < maxRedirects)
        this.#redirect = redirected(this.#target, location);
      throw new Error(`status code ${String(status)}`);
    }
    const type = headers.get("content-type");
    if (!isMetricText(type)) throw new Error(`the body has the type ${String(type)}, which was not requested`);
    const announced = Number(headers.get("content-length") ?? 0);
    if (this.#body !== undefined && !this.#body.admits(announced)) throw this.#body.spentError();
    this.#format = parseScrapeFormat(type);
  }

  #piece(bytes: Uint8Array): boolean {
    if (this.#body !== undefined && !this.#body.tryTake(bytes.byteLength)) throw this.#body.spentError();
    if (this.#write === undefined) return this.#buffer(bytes);
    // one read may contain many chunks: each waits for the one before it, and the next read for all of them
    const write = this.#write;
    const written = this.#last.then(() => write(bytes));
    this.#last = written;
    written.then(
      () => {
        // not in the same turn of the event loop: a fast target would delay the probes
        if (this.#last === written)
          setImmediate(() => {
            this.#fetch.resume();
          });
      },
      (error: unknown) => {
        this.cancel(toError(error));
      },
    );
    return false;
  }

  #buffer(bytes: Uint8Array): boolean {
    this.#buffered.append(bytes);
    if (this.#held.charge(bytes.byteLength)) return true;
    this.#decideByBody();
    return false;
  }

  #decideByBody(): void {
    const start = this.#buffered.pieces()[0]?.toString("latin1") ?? "";
    if (looksLikeMetrics(start)) this.#decide({ kind: "usable", format: this.#format });
    else this.#decide({ kind: "failed", reason: new Error("the response is not metrics") });
  }
}

/** @param text each of its lines follows a line break */
function* typesIn(text: string): Iterable<DeclaredFamily> {
  for (let before = text.indexOf("\n#"); before >= 0; before = text.indexOf("\n#", before + 1)) {
    const end = text.indexOf("\n", before + 1);
    const { word, family, rest = "" } = parseDeclaration(text.slice(before + 1, end < 0 ? undefined : end)) ?? {};
    if (word === "TYPE" && family !== undefined) yield { family, type: rest.trim() };
  }
}

const sampleLine = /^[a-zA-Z_:][a-zA-Z0-9_:]*(?:\{|[ \t])|^\{[ \t]*"(?:[^"\\]|\\.)*"[ \t]*[,}]/;

/**
 * Whether a body can be metrics, by its first line that is neither empty nor a comment. A login page or a JSON error
 * with status 200 would make the whole response unreadable.
 * @param text the beginning of the body, or all of it
 * Source: Prometheus' text format and OpenMetrics; names in quotes as of Prometheus 3
 */
export function looksLikeMetrics(text: string): boolean {
  const byteOrderMark = /^\u00ef\u00bb\u00bf/;
  for (const line of text.replace(byteOrderMark, "").split("\n", 200)) {
    const content = line.trim();
    if (content !== "" && !content.startsWith("#")) return sampleLine.test(content);
  }
  return true;
}

/** The target of a redirect to the same host; undefined for another host. */
function redirected(from: ScrapeTarget, location: string): ScrapeTarget | undefined {
  const base = `${from.scheme}://${formatHostPort(from)}${from.path}`;
  if (!URL.canParse(location, base)) return undefined;
  const url = new URL(location, base);
  const scheme = url.protocol === "https:" ? "https" : "http";
  if (url.hostname !== new URL(base).hostname || !url.protocol.startsWith("http")) return undefined;
  const port = url.port === "" ? (scheme === "https" ? 443 : 80) : Number(url.port);
  return { host: from.host, scheme, port, path: `${url.pathname}${url.search}` };
}

function toError(reason: unknown): Error {
  return reason instanceof Error ? reason : new Error(String(reason));
}
