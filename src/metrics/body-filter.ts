// SPDX-License-Identifier: Apache-2.0
import { isUtf8 } from "node:buffer";
import type { Budget } from "../lib/budget.ts";
import { BlockBuffer } from "./buffers.ts";
import { parsePlainDeclaration, type PlainDeclaration } from "./plain-lines.ts";

/** Whether a comment line is passed on, left out, or replaced by other lines. */
export type CommentVerdict = "keep" | "drop" | { readonly lines: readonly string[] };

/** How the lines of one body are filtered. */
export interface LineRules {
  /** Whether a plain declaration that comes now is one for `declaration`, not two comments. */
  readonly takesDeclarations: boolean;
  declaration(plain: PlainDeclaration): "keep" | "drop";
  /** @param line without its line break */
  comment(line: string): CommentVerdict;
  /** @param lines whole sample lines up to the next comment @returns their replacement; undefined keeps them */
  samples(lines: Buffer): Buffer | undefined;
}

const newline = 0x0a;
const hash = 0x23;
const nothing = new Uint8Array();
/** They take about a quarter of a millisecond. */
const commentsBetweenPauses = 50;

/**
 * Splits a body at line breaks and applies rules to the lines. Sample lines that the rules keep are passed on unread, so
 * that 100,000 of them cost hardly more than a copy.
 */
export class BodyFilter {
  readonly #rules: LineRules;
  readonly #line: Budget;
  /** The beginning of a line whose end has not come yet. */
  readonly #carry = new BlockBuffer();

  /** @param line for one line */
  constructor(rules: LineRules, line: Budget) {
    this.#rules = rules;
    this.#line = line;
  }

  /**
   * The lines that `bytes` completes, as pieces that may share memory with it. Some are empty: between them is a good
   * moment to let other work of the event loop run.
   * @throws BudgetSpentError when a line is too long
   */
  *feed(bytes: Uint8Array): Generator<Uint8Array> {
    const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    const last = buffer.lastIndexOf(newline);
    let start = 0;
    if (last >= 0 && this.#carry.byteLength > 0) {
      start = buffer.indexOf(newline) + 1;
      yield* this.#block(Buffer.concat([...this.#carry.take(), buffer.subarray(0, start)]));
    }
    yield* this.#block(buffer.subarray(start, last + 1));
    this.#carry.append(buffer.subarray(last + 1));
    if (!this.#line.admits(this.#carry.byteLength)) throw this.#line.spentError();
  }

  /** The last line of a complete body, with a line break if it had none. */
  *end(): Generator<Uint8Array> {
    const rest = this.#carry.take();
    if (rest.length > 0) yield* this.#block(Buffer.concat([...rest, Buffer.from("\n")]));
  }

  /** @param block whole lines */
  *#block(block: Buffer): Generator<Uint8Array> {
    const pieces: Uint8Array[] = [];
    /** Where the current run of unchanged lines begins. */
    let run = 0;
    const replace = (start: number, end: number, lines: Uint8Array): void => {
      if (start > run) pieces.push(block.subarray(run, start));
      if (lines.byteLength > 0) pieces.push(lines);
      run = end;
    };
    /** Where the dropped lines before `at` begin; -1 without any. */
    let dropped = -1;
    const dropUntil = (end: number): void => {
      if (dropped >= 0) replace(dropped, end, nothing);
      dropped = -1;
    };
    /** Of the whole block; undefined until the first comment, because most blocks of large bodies have none. */
    let text: string | undefined;
    let at = 0;
    for (let comments = 1; at < block.byteLength; comments++) {
      if (comments % commentsBetweenPauses === 0) {
        yield* pieces.splice(0);
        yield nothing;
      }
      const comment = block[at] === hash ? at : nextComment(block, at);
      const samplesEnd = comment < 0 ? block.byteLength : comment;
      if (at < samplesEnd) {
        dropUntil(at);
        const samples = this.#rules.samples(block.subarray(at, samplesEnd));
        if (samples !== undefined) replace(at, samplesEnd, samples);
      }
      if (comment < 0) break;
      text ??= isUtf8(block) ? block.toString("latin1") : "";
      const plain = this.#rules.takesDeclarations ? parsePlainDeclaration(text, comment) : undefined;
      at = plain?.end ?? block.indexOf(newline, comment) + 1;
      const verdict =
        plain === undefined
          ? this.#rules.comment(block.toString("utf8", comment, at).trimEnd())
          : this.#rules.declaration(plain);
      if (verdict === "keep") dropUntil(comment);
      else if (dropped < 0) dropped = comment;
      if (typeof verdict !== "object") continue;
      const lines = verdict.lines.map((line) => `${line}\n`).join("");
      // a family's lines usually stay as they are
      const isSame = Buffer.byteLength(lines) === at - dropped && block.toString("utf8", dropped, at) === lines;
      if (!isSame) replace(dropped, at, Buffer.from(lines));
      dropped = -1;
    }
    dropUntil(block.byteLength);
    yield* pieces;
    if (run < block.byteLength) yield block.subarray(run);
  }
}

function nextComment(block: Buffer, from: number): number {
  const before = block.indexOf("\n#", from);
  return before < 0 ? -1 : before + 1;
}
