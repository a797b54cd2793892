// SPDX-License-Identifier: Apache-2.0
import type { RemovalKind } from "./removals.ts";

/** A value of which it is not known yet whether it is secret: the name that says so may stand behind it. */
export class HeldValue {
  readonly #plain: string;
  readonly #hide: (kind: RemovalKind) => string;
  #text: string | undefined;
  #waitsFor: number;

  /**
   * @param hide makes the text that stands in its place
   * @param waitsFor how many names may still say that it is secret
   */
  constructor(plain: string, hide: (kind: RemovalKind) => string, waitsFor: number) {
    this.#plain = plain;
    this.#hide = hide;
    this.#waitsFor = waitsFor;
  }

  /** What is written; undefined while that is not known. */
  get text(): string | undefined {
    return this.#text;
  }

  hide(kind: RemovalKind): void {
    this.#text ??= this.#hide(kind);
  }

  /** One of the names is harmless, or does not come. */
  release(): void {
    if (--this.#waitsFor <= 0) this.#text ??= this.#plain;
  }
}

/** What waits behind a held value before the value is hidden unseen. */
const mostHeld = 256 * 1024;

/** Output in order, with held values in between. */
export class HeldOutput {
  #ready = "";
  #waiting: (string | HeldValue)[] = [];
  #waitingLength = 0;
  #total = 0;

  /** Characters written so far. */
  get total(): number {
    return this.#total;
  }

  write(part: string | HeldValue): void {
    const length = lengthOf(part);
    this.#total += length;
    if (typeof part === "string" && this.#waiting.length === 0) {
      this.#ready += part;
      return;
    }
    this.#waiting.push(part);
    this.#waitingLength += length;
    if (this.#waitingLength <= mostHeld) return;
    this.hideAll();
    this.#flush();
  }

  /** Hides all values that are held. */
  hideAll(): void {
    for (const part of this.#waiting) if (typeof part !== "string") part.hide("too-long");
  }

  /** What can be written now. */
  take(): string {
    this.#flush();
    const ready = this.#ready;
    this.#ready = "";
    return ready;
  }

  /** Moves what stands before the first value that is still held. */
  #flush(): void {
    const held = this.#waiting.findIndex((part) => typeof part !== "string" && part.text === undefined);
    const known = this.#waiting.splice(0, held < 0 ? this.#waiting.length : held);
    if (known.length === 0) return;
    this.#ready += known.map(textOf).join("");
    this.#waitingLength = this.#waiting.reduce((sum, part) => sum + lengthOf(part), 0);
  }
}

function textOf(part: string | HeldValue): string {
  return typeof part === "string" ? part : (part.text ?? "");
}

function lengthOf(part: string | HeldValue): number {
  return typeof part === "string" ? part.length : 16;
}
