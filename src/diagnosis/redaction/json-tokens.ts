// SPDX-License-Identifier: Apache-2.0

/** Receives the tokens of a JSON text in their order. */
export interface JsonTokenHandler {
  /** `{`, `}`, `[`, `]`, `:` or `,` */
  punctuation(mark: string): void;
  /** What stands between the quotes, escaped as it came; undefined for a string longer than the limit. */
  string(escaped: string | undefined): void;
  /** A number, or true, false or null. */
  literal(text: string): void;
}

/** A text is not JSON. */
export class JsonTokenError extends Error {}

type State = "between" | "string" | "literal";

const longestLiteral = 1_000;

/** Splits a JSON text that comes in pieces of any size. What is held is a part of one token. */
export class JsonTokens {
  readonly #handler: JsonTokenHandler;
  readonly #longestString: number;
  #state: State = "between";
  #held = "";
  #isTooLong = false;
  /** The last character of a string's part was a backslash that escapes the next one. */
  #isEscape = false;

  /** @param longestString characters of a string, as it is escaped; longer ones are left out */
  constructor(handler: JsonTokenHandler, longestString: number) {
    this.#handler = handler;
    this.#longestString = longestString;
  }

  /** @throws JsonTokenError */
  feed(text: string): void {
    for (let at = 0; at < text.length; ) {
      if (this.#state === "string") at = this.#string(text, at);
      else if (this.#state === "literal") at = this.#literal(text, at);
      else at = this.#between(text, at);
    }
  }

  /** The text has ended. @throws JsonTokenError when it ends within a token */
  end(): void {
    if (this.#state === "literal") this.#endLiteral();
    if (this.#state === "string") throw new JsonTokenError("it ends within a string");
  }

  #between(text: string, at: number): number {
    const char = text.charAt(at);
    if (char === '"') {
      this.#state = "string";
      this.#isTooLong = false;
    } else if ("{}[]:,".includes(char)) this.#handler.punctuation(char);
    else if (/[-\w.+]/.test(char)) {
      this.#state = "literal";
      this.#held = char;
    } else if (!/\s/.test(char)) throw new JsonTokenError("it is not JSON");
    return at + 1;
  }

  #string(text: string, start: number): number {
    let at = start;
    if (this.#isEscape) {
      this.#isEscape = false;
      at++;
    }
    for (; at < text.length; at++) {
      const code = text.charCodeAt(at);
      if (code === 0x22) break;
      if (code === 0x5c && ++at >= text.length) this.#isEscape = true;
    }
    const end = Math.min(at, text.length);
    if (this.#held.length + end - start > this.#longestString) this.#isTooLong = true;
    this.#held = this.#isTooLong ? "" : this.#held + text.slice(start, end);
    if (at >= text.length) return text.length;
    this.#state = "between";
    const held = this.#isTooLong ? undefined : this.#held;
    this.#held = "";
    this.#handler.string(held);
    return at + 1;
  }

  #literal(text: string, start: number): number {
    let at = start;
    while (at < text.length && /[-\w.+]/.test(text.charAt(at))) at++;
    this.#held += text.slice(start, at);
    if (this.#held.length > longestLiteral) throw new JsonTokenError("it is not JSON");
    if (at < text.length) this.#endLiteral();
    return at;
  }

  #endLiteral(): void {
    const literal = this.#held;
    this.#state = "between";
    this.#held = "";
    if (!/^(?:-?\d[\d.eE+-]*|true|false|null)$/.test(literal)) throw new JsonTokenError("it is not JSON");
    this.#handler.literal(literal);
  }
}
