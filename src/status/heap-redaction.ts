// SPDX-License-Identifier: Apache-2.0
import { Transform } from "node:stream";

const marker = '"strings":[';
/** Names of classes, functions and properties are shorter; keys, tokens and certificates are longer. */
const longestName = 32;

/**
 * Takes the texts out of a heap snapshot while it is written: a snapshot holds every string of the process, a private
 * key and a token among them. Names stay, so that it can still be told what the memory is used for.
 * Source: V8's heap snapshot format, whose last member is the table of strings
 */
export class HeapRedaction extends Transform {
  /** What may be the beginning of the marker. */
  #tail = "";
  #inTable = false;
  /** The string that is being read, without quotes; undefined between strings. */
  #text: string | undefined;
  #escaped = false;

  override _transform(
    chunk: Buffer,
    _encoding: BufferEncoding,
    done: (error?: Error | null, data?: Buffer) => void,
  ): void {
    // one character for each byte, so that nothing depends on where a chunk ends
    done(null, Buffer.from(this.#redact(chunk.toString("latin1")), "latin1"));
  }

  override _flush(done: (error?: Error | null, data?: Buffer) => void): void {
    done(null, Buffer.from(this.#tail, "latin1"));
  }

  #redact(chunk: string): string {
    if (this.#inTable) return this.#redactTable(chunk);
    const text = this.#tail + chunk;
    const at = text.indexOf(marker);
    if (at < 0) {
      this.#tail = text.slice(-marker.length);
      return text.slice(0, -marker.length);
    }
    this.#inTable = true;
    this.#tail = "";
    const table = at + marker.length;
    return text.slice(0, table) + this.#redactTable(text.slice(table));
  }

  #redactTable(chunk: string): string {
    let out = "";
    for (const char of chunk) {
      if (this.#text === undefined) {
        if (char === '"') this.#text = "";
        else out += char;
      } else if (char === '"' && !this.#escaped) {
        out += `"${redacted(this.#text)}"`;
        this.#text = undefined;
      } else {
        this.#text += char;
        this.#escaped = char === "\\" && !this.#escaped;
      }
    }
    return out;
  }
}

/** A text that is too long for a name, or looks like the last line of something encoded, is told by its length alone. */
function redacted(text: string): string {
  const encoded = text.length >= 12 && /^[A-Za-z0-9+/_-]+={0,2}$/.test(text) && /[0-9+/=]/.test(text);
  return text.length > longestName || encoded ? `(text of ${String(text.length)} characters)` : text;
}
