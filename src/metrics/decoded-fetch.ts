// SPDX-License-Identifier: Apache-2.0
import type { Transform } from "node:stream";
import type { Budget } from "../lib/budget.ts";
import type { ScrapeTarget } from "../model/scrape-target.ts";
import { type Fetch, FetchError, type FetchReader, type RequestHeaders, startFetch } from "./http-get.ts";

type ContentCoding = "gzip" | "deflate" | "br" | "zstd";

const codings: Readonly<Record<string, ContentCoding>> = {
  gzip: "gzip",
  "x-gzip": "gzip",
  deflate: "deflate",
  br: "br",
  zstd: "zstd",
};

/** A zstd body may ask for a window of 128 MB; encoders use up to 8. */
const zstdWindowBits = 23;

/**
 * Fetches like `startFetch`; the reader gets the decoded body. No coding is requested, because the target is usually in
 * the same pod, but some applications compress all the same.
 * @param decoders for the decoder that a compressed body needs
 */
export function startDecodedFetch(
  target: ScrapeTarget,
  headers: RequestHeaders,
  reader: FetchReader,
  decoders: Budget,
): Fetch {
  let decoding: Decoding | undefined;
  const fetch: Fetch = startFetch(target, headers, {
    headerBytes: reader.headerBytes,
    head(status, received) {
      reader.head(status, received);
      const coding = parseCoding(received.get("content-encoding"));
      if (coding !== undefined)
        decoding = new Decoding(coding, { target, reader, decoders, resume: () => fetch.resume() });
    },
    piece: (bytes) => (decoding === undefined ? reader.piece(bytes) : decoding.write(bytes)),
  });
  const done = fetch.done.then(
    async () => {
      await decoding?.end();
    },
    (error: unknown) => {
      const reason = decoding?.failure ?? error;
      decoding?.stop();
      throw reason;
    },
  );
  done.catch(() => undefined);
  return {
    done,
    resume: () => {
      if (decoding === undefined) fetch.resume();
      else decoding.resume();
    },
    cancel: (cause) => {
      decoding?.fail(cause);
      fetch.cancel(cause);
    },
    release: () => {
      fetch.release();
    },
  };
}

interface DecodingOptions {
  readonly target: ScrapeTarget;
  readonly reader: FetchReader;
  readonly decoders: Budget;
  /** Reads on in the compressed body. */
  readonly resume: () => void;
}

/** The decoder of one body. */
class Decoding {
  failure: Error | undefined;
  readonly #options: DecodingOptions;
  readonly #coding: ContentCoding;
  readonly #decoded = Promise.withResolvers<undefined>();
  /** Resolves with the first piece, which tells both kinds of `deflate` apart. */
  #stream: Promise<Transform> | undefined;
  #isOpen = true;
  #writes = 0;

  /** @throws BudgetSpentError */
  constructor(coding: ContentCoding, options: DecodingOptions) {
    if (!options.decoders.tryTake()) throw options.decoders.spentError();
    this.#coding = coding;
    this.#options = options;
    this.#decoded.promise.catch(() => undefined);
  }

  /** @returns false: the pieces wait for each other */
  write(bytes: Uint8Array): boolean {
    // the fetch reuses its memory
    const copy = Buffer.from(bytes);
    this.#stream ??= this.#open(copy[0] ?? 0);
    this.#writes++;
    void this.#stream.then((stream) => {
      stream.write(copy, () => {
        if (--this.#writes === 0) this.#options.resume();
      });
    });
    return false;
  }

  /** Resolves when all has been passed to the reader. */
  async end(): Promise<void> {
    // a body without a byte
    if (this.#stream === undefined) this.stop();
    else {
      const stream = await this.#stream;
      stream.end();
      await this.#decoded.promise;
    }
  }

  resume(): void {
    void this.#stream?.then((stream) => stream.resume());
  }

  fail(cause: Error): void {
    if (!this.#isOpen) return;
    const { target } = this.#options;
    this.failure = cause instanceof FetchError ? cause : new FetchError(target, cause.message);
    this.#decoded.reject(this.failure);
    this.stop();
  }

  stop(): void {
    if (!this.#isOpen) return;
    this.#isOpen = false;
    this.#options.decoders.release();
    void this.#stream?.then((stream) => stream.destroy());
  }

  async #open(firstByte: number): Promise<Transform> {
    const stream = await createDecoder(this.#coding, firstByte);
    stream.on("data", (chunk: Buffer) => {
      try {
        if (this.#isOpen && !this.#options.reader.piece(chunk)) stream.pause();
      } catch (error) {
        this.fail(error instanceof Error ? error : new Error(String(error)));
      }
    });
    stream.on("error", (error) => {
      this.fail(new Error(`the body is not valid ${this.#coding}: ${error.message}`));
    });
    stream.on("end", () => {
      this.#decoded.resolve(undefined);
      this.stop();
    });
    return stream;
  }
}

/** zlib is loaded for the first body that is compressed. */
async function createDecoder(coding: ContentCoding, firstByte: number): Promise<Transform> {
  const zlib = await import("node:zlib");
  switch (coding) {
    case "gzip":
      return zlib.createGunzip();
    case "br":
      return zlib.createBrotliDecompress();
    case "zstd":
      return zlib.createZstdDecompress({ params: { [zlib.constants.ZSTD_d_windowLogMax]: zstdWindowBits } });
    case "deflate":
      // Source: RFC 9110 section 8.4.1.2; some senders leave the zlib header out
      return (firstByte & 0x0f) === 8 ? zlib.createInflate() : zlib.createInflateRaw();
  }
}

/** @throws Error for a coding that is not known */
function parseCoding(header = ""): ContentCoding | undefined {
  const names = header
    .toLowerCase()
    .split(",")
    .map((name) => name.trim())
    .filter((name) => name !== "" && name !== "identity");
  const [name] = names;
  if (name === undefined) return undefined;
  const coding = names.length === 1 ? codings[name] : undefined;
  if (coding === undefined)
    throw new Error(`the body has the content coding ${names.join(", ")}, which is not supported`);
  return coding;
}
