// SPDX-License-Identifier: Apache-2.0

/** What becomes of a comment line: passed on, left out, or replaced by another. */
export type CommentVerdict = "keep" | "drop" | { readonly line: string };

const newline = 0x0a;
const hash = 0x23;
/** A line of a scrape is not longer than this; what is longer is passed on in parts. */
const maxLineBytes = 256 * 1024;

/**
 * Cuts a body into pieces that end at line ends, and lets every comment line be judged. Sample lines are passed on as
 * they are, without being looked at, so that 100,000 of them cost hardly more than a copy.
 */
export class BodyFilter {
  readonly #judge: (line: string) => CommentVerdict;
  #carry = Buffer.alloc(0);

  /** @param judge gets a comment line without its end */
  constructor(judge: (line: string) => CommentVerdict) {
    this.#judge = judge;
  }

  /** @returns pieces that share memory with `bytes` */
  feed(bytes: Uint8Array): readonly Uint8Array[] {
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const last = buffer.lastIndexOf(newline);
    if (last < 0 && this.#carry.byteLength + buffer.byteLength < maxLineBytes) {
      this.#carry = Buffer.concat([this.#carry, buffer]);
      return [];
    }
    const pieces: Uint8Array[] = [];
    let start = 0;
    if (this.#carry.byteLength > 0) {
      start = buffer.indexOf(newline) + 1;
      this.#block(Buffer.concat([this.#carry, buffer.subarray(0, start)]), pieces);
    }
    this.#block(buffer.subarray(start, last + 1), pieces);
    this.#carry = Buffer.from(buffer.subarray(last + 1));
    return pieces;
  }

  /** The last line of a body that was whole, with an end if it had none. */
  end(): readonly Uint8Array[] {
    const pieces: Uint8Array[] = [];
    if (this.#carry.byteLength > 0) this.#block(Buffer.concat([this.#carry, Buffer.from("\n")]), pieces);
    this.#carry = Buffer.alloc(0);
    return pieces;
  }

  /** @param block whole lines */
  #block(block: Buffer, pieces: Uint8Array[]): void {
    let from = 0;
    let comment = block[0] === hash ? 0 : nextComment(block, 0);
    while (comment >= 0) {
      const end = block.indexOf(newline, comment);
      const verdict = this.#judge(block.toString("utf8", comment, end).trimEnd());
      if (verdict !== "keep") {
        if (comment > from) pieces.push(block.subarray(from, comment));
        if (verdict !== "drop") pieces.push(Buffer.from(`${verdict.line}\n`));
        from = end + 1;
      }
      comment = block[end + 1] === hash ? end + 1 : nextComment(block, end);
    }
    if (from < block.byteLength) pieces.push(block.subarray(from));
  }
}

function nextComment(block: Buffer, from: number): number {
  const before = block.indexOf("\n#", from);
  return before < 0 ? -1 : before + 1;
}
