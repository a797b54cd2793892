// SPDX-License-Identifier: Apache-2.0
import { formatHostPort } from "../lib/net/host-port.ts";
import type { ScrapeTarget } from "../model/scrape-target.ts";
import { BlockBuffer } from "./buffers.ts";
import { type Fetch, type RequestHeaders, startFetch } from "./http-get.ts";
import { parseScrapeFormat, type ScrapeFormat } from "./negotiation.ts";

/** The state of a target when the response begins. */
export type TargetDecision =
  | { readonly kind: "failed"; readonly reason: Error }
  /** The whole body has arrived, or so much of it that the rest is streamed later. */
  | { readonly kind: "usable"; readonly format: ScrapeFormat };

export interface TargetLimits {
  /** A larger body fails if its length is announced; otherwise it is cut at a line break. */
  readonly maxBytes: number;
  /** Bodies up to this size are taken whole or not at all. */
  readonly wholeBytes: number;
}

const maxRedirects = 5;

/** Resolves when the memory of the bytes may be reused. */
export type PieceWriter = (bytes: Uint8Array) => Promise<void>;

/** Fetches one target's metrics: buffers the beginning until the decision, and streams the rest into the response. */
export class TargetFetch {
  readonly decided: Promise<TargetDecision>;
  readonly #limits: TargetLimits;
  readonly #headers: RequestHeaders;
  #target: ScrapeTarget;
  #fetch: Fetch;
  #redirect: ScrapeTarget | undefined;
  #redirects = 0;
  readonly #buffered = new BlockBuffer();
  #receivedBytes = 0;
  #format: ScrapeFormat = { kind: "text" };
  #decide: (decision: TargetDecision) => void;
  #write: PieceWriter | undefined;
  #last: Promise<void> = Promise.resolve();

  constructor(target: ScrapeTarget, headers: RequestHeaders, limits: TargetLimits) {
    this.#target = target;
    this.#headers = headers;
    this.#limits = limits;
    const { promise, resolve } = Promise.withResolvers<TargetDecision>();
    this.decided = promise;
    this.#decide = resolve;
    this.#fetch = this.#start();
  }

  #start(): Fetch {
    const fetch = startFetch(this.#target, this.#headers, {
      head: (status, received) => {
        this.#head(status, received);
      },
      piece: (bytes) => this.#piece(bytes),
    });
    fetch.done.then(
      () => {
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
    for (const bytes of this.#buffered.take()) await write(bytes);
    this.#write = write;
    this.#fetch.resume();
    await this.#fetch.done;
    await this.#last;
    this.#fetch.release();
  }

  /** The families that the buffered part of the body declares; call it after the decision and before `emit`. */
  declaredFamilies(): readonly string[] {
    const text = Buffer.concat(this.#buffered.pieces()).toString("latin1");
    return Array.from(text.matchAll(/^# TYPE (\S+)/gm), (match) => match[1] ?? "");
  }

  cancel(cause: Error): void {
    this.#redirect = undefined;
    this.#redirects = maxRedirects;
    this.#fetch.cancel(cause);
  }

  #head(status: number, headers: ReadonlyMap<string, string>): void {
    if (status !== 200) {
      const location = status >= 300 && status < 400 ? headers.get("location") : undefined;
      if (location !== undefined && this.#redirects++ < maxRedirects)
        this.#redirect = redirected(this.#target, location);
      throw new Error(`status code ${String(status)}`);
    }
    const encoding = headers.get("content-encoding") ?? "identity";
    if (encoding !== "identity") throw new Error(`the body has the encoding ${encoding}, which was not requested`);
    if (Number(headers.get("content-length") ?? 0) > this.#limits.maxBytes) throw this.#tooLarge();
    this.#format = parseScrapeFormat(headers.get("content-type"));
  }

  #piece(bytes: Uint8Array): boolean {
    this.#receivedBytes += bytes.byteLength;
    if (this.#receivedBytes > this.#limits.maxBytes) throw this.#tooLarge();
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
    if (this.#receivedBytes <= this.#limits.wholeBytes) return true;
    this.#decideByBody();
    return false;
  }

  #decideByBody(): void {
    const start = this.#buffered.pieces()[0]?.toString("latin1") ?? "";
    if (looksLikeMetrics(start)) this.#decide({ kind: "usable", format: this.#format });
    else this.#decide({ kind: "failed", reason: new Error("the response is not metrics") });
  }

  #tooLarge(): Error {
    return new Error(`response exceeds ${String(this.#limits.maxBytes)} bytes`);
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
  for (const line of text.split("\n", 200)) {
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
