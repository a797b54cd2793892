// SPDX-License-Identifier: Apache-2.0
import type { NamedValueOptions } from "./named-values.ts";
import type { Removals } from "./removals.ts";
import { isHarmlessValue, isPath, isSecretName } from "./secret-names.ts";
import { redactText } from "./secret-text.ts";

/** The rest of a longer line is left out: it cannot be looked through as a whole. */
const longestLine = 256 * 1024;
/** A private key that does not end in so many lines is no key. RSA with 16,384 bits has 200. */
const mostKeyLines = 1_000;

/** Redacts a text line by line as it comes in pieces. Keys and values that continue on the next line are seen. */
export class LineRedactor {
  readonly #removals: Removals;
  readonly #options: NamedValueOptions;
  #held = "";
  #isTooLong = false;
  /** Lines of a private key that are left out. */
  #keyLines = 0;
  /** Lines that are indented deeper belong to a secret; undefined outside of one. */
  #secretIndent: number | undefined;
  /** The line before named a secret: `- name: PASSWORD`. */
  #isValueNext = false;

  constructor(removals: Removals, options: NamedValueOptions = {}) {
    this.#removals = removals;
    this.#options = options;
  }

  /** @returns the lines that are complete */
  feed(text: string): string {
    let output = "";
    let start = 0;
    for (let end = text.indexOf("\n"); end >= 0; end = text.indexOf("\n", start)) {
      output += this.#line(this.#take(text.slice(start, end)), "\n");
      start = end + 1;
    }
    this.#hold(text.slice(start));
    return output;
  }

  end(): string {
    const last = this.#take("");
    return last === "" ? "" : this.#line(last, "");
  }

  #hold(text: string): void {
    if (this.#isTooLong) return;
    this.#held += text;
    if (this.#held.length <= longestLine) return;
    this.#isTooLong = true;
    this.#held = "";
  }

  #take(rest: string): string {
    this.#hold(rest);
    const line = this.#isTooLong ? this.#removals.count("too-long") : this.#held;
    this.#held = "";
    this.#isTooLong = false;
    return line;
  }

  #line(line: string, lineBreak: string): string {
    if (this.#keyLines > 0) {
      const end = line.indexOf("-----END");
      this.#keyLines = end >= 0 || this.#keyLines >= mostKeyLines ? 0 : this.#keyLines + 1;
      if (end < 0) return "";
      const dashes = line.indexOf("-----", end + "-----END".length);
      return this.#redact(dashes < 0 ? "" : line.slice(dashes + "-----".length)) + lineBreak;
    }
    const begin = line.lastIndexOf("-----BEGIN");
    const opens = begin >= 0 && /PRIVATE(?: |%20|\+)KEY/.test(line.slice(begin, begin + 100));
    if (opens && !line.includes("-----END", begin)) this.#keyLines = 1;
    if (this.#isWithinSecret(line)) return "";
    const mark = this.#startsSecret(line) ? ` ${this.#removals.count("secret-name")}` : "";
    return this.#redact(line) + mark + lineBreak;
  }

  #redact(line: string): string {
    const [, head = "", value = ""] = /^(\s{0,200}(?:- )?["']?[vV]alue["']?:\s?)(\S.*)$/.exec(line) ?? [];
    if (this.#isValueNext && value !== "" && !isHarmlessValue(value) && !isPath(value)) {
      this.#isValueNext = false;
      return head + this.#removals.count("secret-name", value);
    }
    const [, given = ""] =
      /^\s{0,200}(?:- )?["']?(?:name|key)["']?:\s?["']?([\w.-]{1,200})["']?,?\s?$/i.exec(line) ?? [];
    this.#isValueNext = given !== "" && isSecretName(given);
    // the body of a key whose beginning is not here
    if (/^\s{0,200}[A-Za-z0-9+/]{48,80}={0,2}\r?$/.test(line) && /\d/.test(line)) {
      return this.#removals.count("inline-data");
    }
    return redactText(line, this.#removals, this.#options);
  }

  #isWithinSecret(line: string): boolean {
    const indent = line.search(/\S/);
    if (this.#secretIndent === undefined) return false;
    if (indent < 0 || indent > this.#secretIndent) return true;
    this.#secretIndent = undefined;
    return false;
  }

  /** `password: |` in YAML, and `password:` with its value on the next line. */
  #startsSecret(line: string): boolean {
    const [, name = ""] = /^\s{0,200}(?:- )?["']?([\w.-]{1,200})["']?:\s?(?:[|>][-+\d]{0,3})?\s{0,9}$/.exec(line) ?? [];
    if (name === "" || !isSecretName(name)) return false;
    this.#secretIndent = line.search(/\S/);
    return true;
  }
}

/** A text as a whole. */
export function redactLines(text: string, removals: Removals, options: NamedValueOptions = {}): string {
  const lines = new LineRedactor(removals, options);
  return lines.feed(text) + lines.end();
}
