// SPDX-License-Identifier: Apache-2.0
import { formatHostPort } from "../lib/net/host-port.ts";
import { looksLikeMetrics } from "./body-check.ts";
import { KeptBytes } from "./kept-bytes.ts";
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

const maxRedirects = 5;

/** Takes bytes; resolves when their memory may be used again. */
export type PieceWriter = (bytes: Uint8Array) => Promise<void>;

/** One target's body on its way into the answer. */
export class TargetFetch {
  readonly decided: Promise<TargetDecision>;
  readonly #limits: TargetLimits;
  readonly #headers: Readonly<Record<string, string>>;
  #target: FetchTarget;
  #fetch: Fetch;
  #redirect: FetchTarget | undefined;
  #redirects = 0;
  readonly #kept = new KeptBytes();
  #receivedBytes = 0;
  #format: ScrapeFormat = { kind: "text" };
  #decide: (decision: TargetDecision) => void;
  #write: PieceWriter | undefined;
  #last: Promise<void> = Promise.resolve();

  constructor(target: FetchTarget, headers: Readonly<Record<string, string>>, limits: TargetLimits) {
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
   * Hands the body over, to be called once, after the decision.
   * @throws FetchError when a body that was begun does not come to its end; what came of it was handed over
   */
  async emit(write: PieceWriter): Promise<void> {
    for (const bytes of this.#kept.take()) await write(bytes);
    this.#write = write;
    this.#fetch.resume();
    await this.#fetch.done;
    await this.#last;
    this.#fetch.release();
  }

  /** The families that the body declares, as far as it is here; to be asked after the decision and before `emit`. */
  declaredFamilies(): readonly string[] {
    const text = Buffer.concat(this.#kept.pieces()).toString("latin1");
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
    if (encoding !== "identity") throw new Error(`the body is encoded as ${encoding}, which was not asked for`);
    if (Number(headers.get("content-length") ?? 0) > this.#limits.maxBytes) throw this.#tooLarge();
    this.#format = parseScrapeFormat(headers.get("content-type"));
  }

  #piece(bytes: Uint8Array): boolean {
    this.#receivedBytes += bytes.byteLength;
    if (this.#receivedBytes > this.#limits.maxBytes) throw this.#tooLarge();
    if (this.#write === undefined) return this.#keep(bytes);
    // one read may hold many chunks: each waits for the one before it, and the next read for all
    const write = this.#write;
    const turn = this.#last.then(() => write(bytes));
    this.#last = turn;
    turn.then(
      () => {
        // in a turn of its own: a target that is always ahead would keep the probes waiting
        if (this.#last === turn)
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

  #keep(bytes: Uint8Array): boolean {
    this.#kept.append(bytes);
    if (this.#receivedBytes <= this.#limits.wholeBytes) return true;
    this.#decideByBody();
    return false;
  }

  #decideByBody(): void {
    const start = this.#kept.pieces()[0]?.toString("latin1") ?? "";
    if (looksLikeMetrics(start)) this.#decide({ kind: "usable", format: this.#format });
    else this.#decide({ kind: "failed", reason: new Error("the answer is no metrics") });
  }

  #tooLarge(): Error {
    return new Error(`response exceeds ${String(this.#limits.maxBytes)} bytes`);
  }
}

/** Where a redirect leads, as long as that is on the same host; undefined otherwise. */
function redirected(from: FetchTarget, location: string): FetchTarget | undefined {
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
