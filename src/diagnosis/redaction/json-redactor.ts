// SPDX-License-Identifier: Apache-2.0
import { HeldOutput, HeldValue } from "./held-output.ts";
import { type Frame, isHiddenBy, kindOf, memberRule, namingFrames, siblingRule } from "./json-frame.ts";
import { JsonTokenError, type JsonTokenHandler, JsonTokens } from "./json-tokens.ts";
import { redactString } from "./json-value.ts";
import { type RemovalKind, type Removals, removedMark } from "./removals.ts";
import { isHarmlessValue, isPath, isSecretName, isSecretObject, nameMembers, weakNameMembers } from "./secret-names.ts";
import { redactText } from "./secret-text.ts";

/** Longer strings are removed unread. */
const longestString = 1024 * 1024;
/** Deeper documents are cut. Source: protobuf's parsers, which read all that Envoy gets, go no deeper */
const mostLevels = 110;

export interface JsonRedactorOptions {
  /** The member that the document is the value of: `node` for a node. */
  readonly member?: string;
  /** Characters of output after which the rest is left out. */
  readonly maxLength?: number;
  /** Without line breaks. */
  readonly isCompact?: boolean;
}

/**
 * Redacts a JSON text as it comes in pieces. What it returns is always a complete document: where the text is cut, does
 * not continue as JSON, or reaches the limit, its objects and lists are closed.
 */
export class JsonRedactor implements JsonTokenHandler {
  readonly #removals: Removals;
  readonly #options: JsonRedactorOptions;
  readonly #tokens: JsonTokens;
  readonly #output = new HeldOutput();
  #frame: Frame;
  #depth = 0;
  #problem: string | undefined;

  constructor(removals: Removals, options: JsonRedactorOptions = {}) {
    this.#removals = removals;
    this.#options = options;
    this.#tokens = new JsonTokens(this, longestString);
    // the document is the only item of this list
    this.#frame = newFrame("list", options.member ?? "", undefined, undefined);
  }

  /** Why the rest of the text is left out; undefined while nothing is. */
  get problem(): string | undefined {
    return this.#problem;
  }

  /** @returns what can be written now */
  feed(text: string): string {
    if (this.#problem === undefined) this.#attempt(() => this.#tokens.feed(text));
    return this.#output.take();
  }

  /** @returns the rest of the document */
  end(): string {
    this.#attempt(() => {
      this.#tokens.end();
      if (this.#depth > 0) throw new JsonTokenError("it ends before the document does");
    });
    if (!this.#options.isCompact) this.#output.write("\n");
    return this.#output.take();
  }

  punctuation(mark: string): void {
    if (this.#problem !== undefined) return;
    const frame = this.#frame;
    if (mark === "{" || mark === "[") this.#open(mark);
    else if (mark === "}" || mark === "]") this.#close(mark);
    else if (mark === ":") {
      if (frame.expects !== "colon") throw new JsonTokenError("it is not JSON");
      frame.expects = "value";
    } else {
      if (frame.expects !== "next" || this.#depth === 0) throw new JsonTokenError("it is not JSON");
      frame.expects = frame.kind === "object" ? "name" : "value";
    }
  }

  string(escaped: string | undefined): void {
    if (this.#problem !== undefined) return;
    const frame = this.#frame;
    if (frame.expects === "name") {
      frame.current = escaped === undefined ? "" : parseString(escaped);
      frame.expects = "colon";
      return;
    }
    if (escaped === undefined) this.#value(JSON.stringify(this.#removals.count("too-long")));
    else this.#text(parseString(escaped));
  }

  literal(text: string): void {
    if (this.#problem !== undefined) return;
    const isNumber = /^[-\d]/.test(text);
    const hidden = isNumber ? this.#hiddenKind(isSecretName) : undefined;
    if (hidden !== undefined) this.#value(JSON.stringify(this.#removals.count(hidden, text)));
    else this.#value(text);
  }

  #text(text: string): void {
    const frame = this.#frame;
    const kind = this.#hiddenKind(isSecretName);
    if (kind !== undefined && !isHarmlessValue(text) && !isPath(text)) {
      this.#value(JSON.stringify(this.#removals.count(kind, kind === "secret-name" ? text : undefined)));
      frame.isArgumentNext = false;
      return;
    }
    const plain = JSON.stringify(this.#redact(text));
    const naming = kind === undefined ? namingFrames(frame) : [];
    const unknown = naming.filter(({ givenName }) => givenName === undefined);
    if (unknown.length === 0 || isHarmlessValue(text)) this.#value(plain);
    else {
      const hide = (kind: RemovalKind): string =>
        JSON.stringify(this.#removals.count(kind, kind === "secret-name" ? text : undefined));
      const held = new HeldValue(plain, hide, unknown.length);
      for (const { held: list } of unknown) list.push(held);
      this.#value(held);
    }
    this.#nameFrame(text);
  }

  /** Notes a text that says what stands beside or behind it. */
  #nameFrame(text: string): void {
    const frame = this.#frame;
    if (frame.kind === "list") frame.isArgumentNext = /^--?[\w-]{1,100}$/.test(text) && isSecretName(text);
    else if (nameMembers.has(frame.current)) nameFrame(frame, text);
    else if (weakNameMembers.has(frame.current) && isSecretName(text)) nameFrame(frame, text);
  }

  #redact(text: string): string {
    return redactString(text, this.#frame, this.#removals, (document) => {
      const inner = new JsonRedactor(this.#removals, { member: this.#frame.current, isCompact: true });
      return inner.feed(document) + inner.end();
    });
  }

  /** Why the value that comes next is hidden as a whole; undefined when it is not. */
  #hiddenKind(isSecret: (name: string) => boolean): RemovalKind | undefined {
    const frame = this.#frame;
    if (frame.hidden !== undefined) return frame.hidden;
    if (isSecret(frame.current) || frame.isArgumentNext) return "secret-name";
    // of `credentials: [{key: ...}]`
    if (frame.current === "key" && isSecretName(frame.member)) return "secret-name";
    const rule = memberRule(frame);
    if (rule !== undefined) return rule;
    for (const naming of namingFrames(frame)) {
      const { givenName } = naming;
      const own = siblingRule(naming);
      if (givenName !== undefined && isHiddenBy(givenName, own)) return kindOf(givenName, own);
    }
    return undefined;
  }

  #open(mark: "{" | "["): void {
    const frame = this.#frame;
    if (frame.expects !== "value" || this.#depth >= mostLevels) throw new JsonTokenError("it is nested too deeply");
    const isObject = mark === "{";
    // the items of a list have its name, and are judged one by one
    const hidden = this.#hiddenKind(isObject ? isSecretObject : () => false);
    this.#begin(mark);
    frame.expects = "next";
    // of `{name: proxyMetadata, value: {...}}`
    const member = frame.current === "value" ? (frame.givenName ?? "value") : frame.current;
    this.#frame = newFrame(isObject ? "object" : "list", member, frame, hidden);
    this.#depth++;
  }

  #close(mark: "}" | "]"): void {
    const { kind, parent, expects, isEmpty } = this.#frame;
    const isRight = (mark === "}") === (kind === "object") && (expects === "next" || isEmpty);
    if (parent === undefined || !isRight) throw new JsonTokenError("it is not JSON");
    this.#leave();
    this.#checkLength();
  }

  /** Writes the end of the current object or list. */
  #leave(): void {
    const { kind, parent, isEmpty, held } = this.#frame;
    if (parent === undefined) return;
    for (const value of held) value.release();
    this.#depth--;
    if (!isEmpty) this.#output.write(this.#lineBreak());
    this.#output.write(kind === "object" ? "}" : "]");
    this.#frame = parent;
  }

  #value(text: string | HeldValue): void {
    if (this.#frame.expects !== "value") throw new JsonTokenError("it is not JSON");
    this.#begin(text);
    this.#frame.expects = "next";
    this.#checkLength();
  }

  /** Writes the comma, the name and the beginning of a value. */
  #begin(text: string | HeldValue): void {
    const frame = this.#frame;
    if (frame.parent !== undefined) {
      this.#output.write(`${frame.isEmpty ? "" : ","}${this.#lineBreak()}`);
      if (frame.kind === "object") {
        this.#output.write(
          `${JSON.stringify(redactText(frame.current, this.#removals))}:${this.#options.isCompact ? "" : " "}`,
        );
      }
    }
    frame.isEmpty = false;
    this.#output.write(text);
  }

  #lineBreak(): string {
    return this.#options.isCompact ? "" : `\n${" ".repeat(this.#depth)}`;
  }

  #checkLength(): void {
    const { maxLength = Number.POSITIVE_INFINITY } = this.#options;
    if (this.#output.total > maxLength) this.#cut("it is larger than what is left of the size limit");
  }

  #attempt(read: () => void): void {
    try {
      read();
    } catch (error) {
      if (!(error instanceof JsonTokenError)) throw error;
      this.#cut(error.message);
    }
  }

  #cut(problem: string): void {
    this.#problem ??= problem;
    this.#output.hideAll();
    while (this.#depth > 0) this.#leave();
  }
}

function newFrame(kind: Frame["kind"], member: string, parent: Frame | undefined, hidden: Frame["hidden"]): Frame {
  const expects = kind === "object" ? "name" : "value";
  // of `secret: {value: ...}`, the member's own name is that of the value
  const givenName = kind === "object" && isSecretName(member) ? member : undefined;
  return {
    kind,
    member,
    parent,
    hidden,
    current: member,
    expects,
    isEmpty: true,
    givenName,
    isArgumentNext: false,
    held: [],
  };
}

/** A name decides about the values beside it that came before it. */
function nameFrame(frame: Frame, name: string): void {
  if (frame.givenName !== undefined && !isSecretName(name)) return;
  frame.givenName = name;
  const rule = siblingRule(frame);
  const isHidden = isHiddenBy(name, rule);
  for (const value of frame.held.splice(0)) {
    if (isHidden) value.hide(kindOf(name, rule));
    else value.release();
  }
}

function parseString(escaped: string): string {
  if (!escaped.includes("\\")) return escaped;
  try {
    return JSON.parse(`"${escaped}"`) as string;
  } catch {
    // a bad escape: what it means is not known, and so whether it is secret
    return removedMark;
  }
}
