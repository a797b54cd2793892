// SPDX-License-Identifier: Apache-2.0
import { removedMark } from "./removals.ts";

/** Replaces given texts in bytes that come in pieces, also where one is cut by the end of a piece. */
export class LiteralFilter {
  readonly #pattern: RegExp | undefined;
  /** Of the longest text. */
  readonly #longest: number;
  #held = "";
  #count = 0;

  /** @param literals in latin1; of two that begin at one place, the first counts */
  constructor(literals: readonly string[]) {
    this.#longest = Math.max(0, ...literals.map((literal) => literal.length));
    const alternatives = literals.map((literal) => literal.replaceAll(/[\\^$.*+?()[\]{}|/-]/g, "\\$&")).join("|");
    this.#pattern = literals.length === 0 ? undefined : new RegExp(alternatives, "g");
  }

  /** How many were replaced. */
  get count(): number {
    return this.#count;
  }

  /** @returns what no longer depends on the bytes that follow */
  feed(bytes: Uint8Array): Buffer {
    const text = this.#held + Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString("latin1");
    return this.#replace(text, Math.max(0, text.length - this.#longest + 1));
  }

  end(): Buffer {
    return this.#replace(this.#held, this.#held.length);
  }

  /** @param certain a text that begins before this index is complete */
  #replace(text: string, certain: number): Buffer {
    let output = "";
    let copied = 0;
    for (const { 0: found, index } of this.#pattern === undefined ? [] : text.matchAll(this.#pattern)) {
      if (index >= certain) break;
      output += text.slice(copied, index) + removedMark;
      copied = index + found.length;
      this.#count++;
    }
    const end = Math.max(copied, certain);
    this.#held = text.slice(end);
    return Buffer.from(output + text.slice(copied, end), "latin1");
  }
}
