// SPDX-License-Identifier: Apache-2.0
import { BlockBuffer } from "./buffers.ts";

/** Whether a comment line is passed on, left out, or replaced by other lines. */
export type CommentVerdict = "keep" | "drop" | { readonly lines: readonly string[] };

/** How the lines of one body are filtered. */
export interface LineRules {
  /** @param line without its line break */
  comment(line: string): CommentVerdict;
  /** @param lines whole sample lines up to the next comment @returns their replacement; undefined keeps them */
  samples(lines: Buffer): Buffer | undefined;
}

const newline = 0x0a;
const hash = 0x23;
const nothing = new Uint8Array();
/** No line of a scrape is longer. */
const maxLineBytes = 256 * 1024;

/**
 * Splits a body at line breaks and applies rules to the lines. Sample lines that the rules keep are passed on unread, so
 * that 100,000 of them cost hardly more than a copy.
 */
export class BodyFilter {
  readonly #rules: LineRules;
  /** The beginning of a line whose end has not come yet. */
  readonly #carry = new BlockBuffer();

  constructor(rules: LineRules) {
    this.#rules = rules;
  }

  /**
   * @returns pieces that may share memory with `bytes`
   * @throws Error when a line is too long for a scrape
   */
  feed(bytes: Uint8Array): readonly Uint8Array[] {
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const last = buffer.lastIndexOf(newline);
    const pieces: Uint8Array[] = [];
    let start = 0;
    if (last >= 0 && this.#carry.byteLength > 0) {
      start = buffer.indexOf(newline) + 1;
      this.#block(Buffer.concat([...this.#carry.take(), buffer.subarray(0, start)]), pieces);
    }
    this.#block(buffer.subarray(start, last + 1), pieces);
    this.#carry.append(buffer.subarray(last + 1));
    if (this.#carry.byteLength > maxLineBytes) throw new Error(`a line exceeds ${String(maxLineBytes)} bytes`);
    return pieces;
  }

  /** The last line of a complete body, with a line break if it had none. */
  end(): readonly Uint8Array[] {
    const pieces: Uint8Array[] = [];
    const rest = this.#carry.take();
    if (rest.length > 0) this.#block(Buffer.concat([...rest, Buffer.from("\n")]), pieces);
    return pieces;
  }

  /** @param block whole lines */
  #block(block: Buffer, pieces: Uint8Array[]): void {
    /** Where the current run of unchanged lines begins. */
    let run = 0;
    const replace = (start: number, end: number, lines: Uint8Array): void => {
      if (start > run) pieces.push(block.subarray(run, start));
      if (lines.byteLength > 0) pieces.push(lines);
      run = end;
    };
    let at = 0;
    while (at < block.byteLength) {
      const comment = block[at] === hash ? at : nextComment(block, at);
      const samplesEnd = comment < 0 ? block.byteLength : comment;
      const samples = at < samplesEnd ? this.#rules.samples(block.subarray(at, samplesEnd)) : undefined;
      if (samples !== undefined) replace(at, samplesEnd, samples);
      if (comment < 0) break;
      at = block.indexOf(newline, comment) + 1;
      const verdict = this.#rules.comment(block.toString("utf8", comment, at).trimEnd());
      if (verdict === "drop") replace(comment, at, nothing);
      else if (verdict !== "keep") replace(comment, at, Buffer.from(verdict.lines.map((line) => `${line}\n`).join("")));
    }
    if (run < block.byteLength) pieces.push(block.subarray(run));
  }
}

function nextComment(block: Buffer, from: number): number {
  const before = block.indexOf("\n#", from);
  return before < 0 ? -1 : before + 1;
}
