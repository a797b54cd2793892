// SPDX-License-Identifier: Apache-2.0

/** Receives the parts of a response. */
export interface ResponseHandler {
  head(status: number, headers: ReadonlyMap<string, string>): void;
  /** @returns false to pause */
  piece(bytes: Uint8Array): boolean;
}

/** A budget, or a number of bytes with an error. */
interface HeaderLimit {
  admits(bytes: number): boolean;
  spentError(): Error;
}

type State = "head" | "counted" | "until-close" | "chunk-size" | "chunk-data" | "chunk-end" | "trailer" | "complete";

/** Source: Go's http.Transport */
const maxInterimResponses = 5;

/** Parses an HTTP/1.1 response as its bytes arrive; passes body bytes on without a copy. */
export class ResponseReader {
  readonly #handler: ResponseHandler;
  readonly #headers: HeaderLimit;
  #state: State = "head";
  /** The part of the current line, in the head or between chunks, that has arrived. */
  #text = "";
  #headLines: string[] = [];
  #headBytes = 0;
  #interimResponses = 0;
  #leftBytes = 0;
  readonly #hasBody: boolean;

  /**
   * @param headers for the bytes of a head, of one line between chunks, and of the trailers
   * @param hasBody false for the response to a HEAD
   */
  constructor(handler: ResponseHandler, headers: HeaderLimit, hasBody = true) {
    this.#handler = handler;
    this.#headers = headers;
    this.#hasBody = hasBody;
  }

  get complete(): boolean {
    return this.#state === "complete";
  }

  /**
   * @returns false when the handler wants a pause
   * @throws Error when this is not an HTTP response
   */
  feed(bytes: Uint8Array): boolean {
    let flowing = true;
    let rest = bytes;
    while (rest.byteLength > 0 && this.#state !== "complete") {
      if (this.#state === "counted" || this.#state === "chunk-data" || this.#state === "until-close") {
        const limit = this.#state === "until-close" ? rest.byteLength : Math.min(this.#leftBytes, rest.byteLength);
        if (!this.#handler.piece(rest.subarray(0, limit))) flowing = false;
        rest = rest.subarray(limit);
        this.#taken(limit);
      } else {
        rest = this.#line(rest);
      }
    }
    return flowing;
  }

  /** The peer closed the connection, which completes a body without a length. */
  end(): void {
    if (this.#state === "until-close") this.#state = "complete";
  }

  #taken(bytes: number): void {
    if (this.#state === "until-close") return;
    this.#leftBytes -= bytes;
    if (this.#leftBytes > 0) return;
    this.#state = this.#state === "counted" ? "complete" : "chunk-end";
  }

  /** Consumes bytes up to the end of the line. @returns the rest */
  #line(bytes: Uint8Array): Uint8Array {
    const end = bytes.indexOf(0x0a);
    const taken = end < 0 ? bytes : bytes.subarray(0, end + 1);
    this.#text += Buffer.from(taken.buffer, taken.byteOffset, taken.byteLength).toString("latin1");
    if (!this.#headers.admits(this.#headBytes + this.#text.length)) throw this.#headers.spentError();
    if (end >= 0) this.#lineEnded();
    return bytes.subarray(taken.byteLength);
  }

  #lineEnded(): void {
    if (this.#state === "head") this.#headLineEnded(this.#text.trimEnd());
    else if (this.#state === "chunk-size") {
      const [size = ""] = this.#text.split(";", 1);
      if (!/^[0-9a-f]{1,12}$/i.test(size.trimEnd())) throw new Error("the response has a chunk without a size");
      this.#leftBytes = Number.parseInt(size, 16);
      this.#state = this.#leftBytes === 0 ? "trailer" : "chunk-data";
    } else if (this.#state === "chunk-end") {
      this.#state = "chunk-size";
    } else if (this.#text.trim() === "") {
      this.#state = "complete";
    } else {
      this.#headBytes += this.#text.length;
    }
    this.#text = "";
  }

  #headLineEnded(line: string): void {
    this.#headBytes += this.#text.length;
    this.#headLines.push(line);
    if (line !== "") return;
    const head = this.#headLines;
    this.#headLines = [];
    this.#headBytes = 0;
    this.#headEnded(head);
  }

  #headEnded([statusLine = "", ...lines]: readonly string[]): void {
    const status = Number(/^HTTP\/1\.[01] (\d{3})/.exec(statusLine)?.[1]);
    if (Number.isNaN(status)) throw new Error("the response is not HTTP/1.1");
    const headers = new Map<string, string>();
    for (const line of lines) {
      const colon = line.indexOf(":");
      if (colon > 0) headers.set(line.slice(0, colon).trim().toLowerCase(), line.slice(colon + 1).trim());
    }
    if (status >= 100 && status < 200) {
      if (++this.#interimResponses > maxInterimResponses) throw new Error("too many interim responses");
      return;
    }
    this.#handler.head(status, headers);
    const length = headers.get("content-length");
    if (status === 204 || status === 304 || !this.#hasBody) this.#state = "complete";
    else if (/\bchunked\b/i.test(headers.get("transfer-encoding") ?? "")) this.#state = "chunk-size";
    else if (length === undefined) this.#state = "until-close";
    else if (!/^\d{1,15}$/.test(length)) throw new Error("the response has an invalid length");
    else {
      this.#leftBytes = Number(length);
      this.#state = this.#leftBytes === 0 ? "complete" : "counted";
    }
  }
}
