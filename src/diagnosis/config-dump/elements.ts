// SPDX-License-Identifier: Apache-2.0
import { isJsonObject, type JsonObject, type JsonValue } from "../../lib/json.ts";
import { ConfigDumpError } from "./config-dump-error.ts";

/** A message in a dump. */
export interface DumpElement {
  /** The member of the root that it stands in, such as `configs`; empty when the root is a list. */
  readonly member: string;
  readonly message: JsonObject;
}

const [quote, backslash] = [0x22, 0x5c];
const [openList, closeList, openObject, closeObject] = [0x5b, 0x5d, 0x7b, 0x7d];

/** Deeper than any message of Envoy's. Source: Protobuf's parsers, which stop at 100 */
const mostLevels = 500;

/**
 * Reads the messages of a JSON document one by one: those that are members of the root, or items of a list that is.
 * Only one of them is in memory at a time; a dump of a large mesh has hundreds of megabytes.
 * @param name of the document, for errors
 * @throws ConfigDumpError `malformed`; what the chunks throw
 */
export async function* readElements(chunks: AsyncIterable<Uint8Array>, name: string): AsyncGenerator<DumpElement> {
  const splitter = new ElementSplitter(name);
  for await (const chunk of chunks) yield* splitter.feed(chunk);
  splitter.end();
}

class ElementSplitter {
  readonly #name: string;
  readonly #parts: Uint8Array[] = [];
  #levels: number[] = [];
  #member = "";
  #isText = false;
  #isEscaped = false;
  #isEmpty = true;
  /** Where the message or the text that is being collected starts in the chunk; below 0: nothing is collected. */
  #start = -1;
  /** Levels within the message that is being collected; 0 outside. */
  #inside = 0;

  constructor(name: string) {
    this.#name = name;
  }

  *feed(chunk: Uint8Array): Generator<DumpElement> {
    if (this.#start >= 0) this.#start = 0;
    for (let at = 0; at < chunk.length; at++) {
      const code = chunk[at] ?? 0;
      if (this.#isText) {
        at = this.#readText(chunk, at);
        continue;
      }
      if (code === quote) this.#openText(at);
      else if (code === openObject || code === openList) this.#open(code, at);
      else if (code === closeObject || code === closeList) {
        const message = this.#close(code, chunk, at);
        if (message !== undefined) yield { member: this.#member, message };
      } else if (this.#levels.length === 0 && code > 0x20) throw this.#malformed("it is not a JSON object or list");
    }
    if (this.#start >= 0) this.#parts.push(chunk.slice(this.#start));
  }

  end(): void {
    if (this.#isEmpty) throw this.#malformed("it is empty");
    if (this.#levels.length > 0) throw this.#malformed("it ends early");
  }

  #openText(at: number): void {
    this.#isText = true;
    if (this.#inside === 0 && this.#levels.length === 1) this.#start = at;
  }

  /** @returns the index of the last byte that was read */
  #readText(chunk: Uint8Array, start: number): number {
    let at = start;
    if (this.#isEscaped) {
      this.#isEscaped = false;
      if (++at === chunk.length) return at;
    }
    for (;;) {
      const end = chunk.indexOf(quote, at);
      const last = end < 0 ? chunk.length : end;
      let escapes = last;
      while (escapes > at && chunk[escapes - 1] === backslash) escapes--;
      const isEscape = (last - escapes) % 2 === 1;
      if (end < 0) {
        this.#isEscaped = isEscape;
        return last;
      }
      if (!isEscape) {
        this.#endText(chunk, end);
        return end;
      }
      at = end + 1;
    }
  }

  #endText(chunk: Uint8Array, at: number): void {
    this.#isText = false;
    if (this.#inside > 0 || this.#start < 0) return;
    const name = this.#take(chunk, at);
    if (typeof name === "string") this.#member = name;
  }

  #open(code: number, at: number): void {
    this.#isEmpty = false;
    if (this.#inside > 0) this.#inside++;
    else if (code === openObject && this.#startsMessage()) {
      this.#inside = 1;
      this.#start = at;
    }
    this.#levels.push(code);
    if (this.#levels.length > mostLevels) throw this.#malformed("it is nested too deeply");
  }

  /** Directly in the root, or in a list that is. */
  #startsMessage(): boolean {
    const [root, second] = this.#levels;
    return this.#levels.length === 1 || (this.#levels.length === 2 && root === openObject && second === openList);
  }

  #close(code: number, chunk: Uint8Array, at: number): JsonObject | undefined {
    const opened = this.#levels.pop();
    if (opened !== (code === closeObject ? openObject : openList)) throw this.#malformed("brackets do not match");
    if (this.#inside === 0 || --this.#inside > 0) return undefined;
    const message = this.#take(chunk, at);
    return isJsonObject(message) ? message : undefined;
  }

  /** Parses what was collected, up to and including this byte. */
  #take(chunk: Uint8Array, at: number): JsonValue {
    const bytes = Buffer.concat([...this.#parts.splice(0), chunk.subarray(this.#start, at + 1)]);
    this.#start = -1;
    try {
      return parseMessage(bytes);
    } catch (cause) {
      throw this.#malformed("it is not JSON", cause);
    }
  }

  #malformed(problem: string, cause?: unknown): ConfigDumpError {
    return new ConfigDumpError("malformed", `read ${this.#name}: ${problem}`, cause);
  }
}

/** Without the limits of `parseJson`: the bytes are limited, and a large mesh has more values. @throws SyntaxError */
function parseMessage(bytes: Buffer): JsonValue {
  return JSON.parse(bytes.toString("utf8")) as JsonValue;
}
