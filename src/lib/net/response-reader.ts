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
/** The only final response below 200: what follows is no HTTP. */
const switchingProtocols = 101;

/** Parses an HTTP/1.1 response as its bytes arrive; passes body bytes on without a copy. */
export class ResponseReader {
  readonly #handler: ResponseHandler;
  readonly #headers: HeaderLimit;
  #state: State = "head";
  /** The part of the current line, in the head or between chunks, that has arrived. */
  #text = "";
  /** Undefined before the status line has arrived. */
  #status: number | undefined;
  #headerLines: string[] = [];
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
    // what is no HTTP may have no end of a line, and its sender may wait
    if (this.#state === "head" && this.#status === undefined && !"HTTP/".startsWith(this.#text.slice(0, 5)))
      throw notHttp();
    if (end >= 0) this.#lineEnded();
    return bytes.subarray(taken.byteLength);
  }

  #lineEnded(): void {
    if (this.#state === "head") this.#headLineEnded(this.#text.slice(0, this.#text.endsWith("\r\n") ? -2 : -1));
    else if (this.#state === "chunk-size") {
      const [size = ""] = this.#text.split(";", 1);
      if (!/^[0-9a-f]{1,12}$/i.test(size.trimEnd())) throw new Error("the response has a chunk without a size");
      this.#leftBytes = Number.parseInt(size, 16);
      this.#state = this.#leftBytes === 0 ? "trailer" : "chunk-data";
    } else if (this.#state === "chunk-end") {
      if (this.#text.trim() !== "") throw new Error("the response has a chunk that is longer than its size");
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
    if (this.#status === undefined) {
      this.#status = statusOf(line);
    } else if (line.startsWith(" ") || line.startsWith("\t")) {
      const previous = this.#headerLines.pop();
      if (previous === undefined) throw malformedHeader();
      this.#headerLines.push(`${previous} ${stripped(line)}`);
    } else if (line !== "") {
      this.#headerLines.push(line);
    } else {
      const [status, lines] = [this.#status, this.#headerLines];
      this.#status = undefined;
      this.#headerLines = [];
      this.#headBytes = 0;
      this.#headEnded(status, headersOf(lines));
    }
  }

  #headEnded(status: number, headers: ReadonlyMap<string, string>): void {
    if (status >= 100 && status < 200 && status !== switchingProtocols) {
      if (++this.#interimResponses > maxInterimResponses) throw new Error("too many interim responses");
      return;
    }
    this.#handler.head(status, headers);
    const length = headers.get("content-length");
    if (status === switchingProtocols || status === 204 || status === 304 || !this.#hasBody) this.#state = "complete";
    else if (/(?:^|[\s,])chunked$/i.test(headers.get("transfer-encoding") ?? "")) this.#state = "chunk-size";
    else if (length === undefined) this.#state = "until-close";
    else if (!/^\d{1,15}$/.test(length)) throw new Error("the response has an invalid length");
    else {
      this.#leftBytes = Number(length);
      this.#state = this.#leftBytes === 0 ? "complete" : "counted";
    }
  }
}

/** Any version: Go's client reads the others too. */
function statusOf(line: string): number {
  const status = /^HTTP\/\d\.\d +(\d{3})(?: |$)/.exec(line)?.[1];
  if (status === undefined) throw notHttp();
  return Number(status);
}

function notHttp(): Error {
  return new Error("the response is not HTTP/1.1");
}

function malformedHeader(): Error {
  return new Error("the response has a malformed header");
}

/** By name in lower case. Of several with one name the first counts, as in Go and in Node.js. */
function headersOf(lines: readonly string[]): ReadonlyMap<string, string> {
  const headers = new Map<string, string>();
  for (const line of lines) {
    const colon = line.indexOf(":");
    if (colon < 1) throw malformedHeader();
    const name = stripped(line.slice(0, colon)).toLowerCase();
    const value = stripped(line.slice(colon + 1));
    const first = headers.get(name);
    if (first === undefined) headers.set(name, value);
    else if (name === "transfer-encoding") headers.set(name, `${first}, ${value}`);
    else if (name === "content-length" && first !== value) throw new Error("the response has several lengths");
  }
  return headers;
}

/** Without spaces and tabs at its ends. `trim` would also take U+00A0, which is half a letter of UTF-8 here. */
function stripped(text: string): string {
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(text, start)) start++;
  while (end > start && isBlank(text, end - 1)) end--;
  return text.slice(start, end);
}

function isBlank(text: string, index: number): boolean {
  const code = text.charCodeAt(index);
  return code === 0x20 || code === 0x09;
}
