// SPDX-License-Identifier: Apache-2.0
import type { Budget } from "../../lib/budget.ts";
import { ByteParts } from "../../lib/byte-parts.ts";
import type { XdsProtocol } from "./request.ts";
import { PackedResourceVersions } from "./resource-versions.ts";
import { VarintReader } from "./varint-reader.ts";
import { textBetween, WireError, wireType } from "./wire.ts";

/** Takes the messages of the resources while they pass. */
export interface ResourceHandler {
  /** The next bytes of the current resource's message. */
  onContent(bytes: Uint8Array): void;
  /** The current resource is complete. State of the world has no names: there it is the resource's position. */
  onResource(name: string): void;
}

type Nested = "resource" | "any";
type Message = XdsProtocol | Nested;
type Text = "version" | "typeUrl" | "resourceTypeUrl" | "nonce" | "removed" | "resourceVersion" | "resourceName";

/** Nested messages that are read, and texts that are kept. Source: Envoy API, discovery.proto; protobuf, any.proto */
const fieldsOf: Readonly<Record<Message, Readonly<Record<number, Nested | Text | "content">>>> = {
  sotw: { 1: "version", 2: "any", 4: "typeUrl", 5: "nonce" },
  delta: { 1: "version", 2: "resource", 4: "typeUrl", 5: "nonce", 6: "removed" },
  resource: { 1: "resourceVersion", 2: "any", 3: "resourceName" },
  any: { 1: "resourceTypeUrl", 2: "content" },
};

/**
 * Memory for the names and versions of one response. Those of a larger response are not all known: then its rejection
 * names fewer of them, and a later stream gets some resources again.
 */
const maxKeptBytes = 8 * 1024 * 1024;
/** Of a name with its version, beside their texts. */
const bytesPerName = 100;
const nothing = new Uint8Array(0);

/**
 * Reads a DiscoveryResponse or DeltaDiscoveryResponse while it passes, in chunks of any size: type, version, nonce, and
 * for delta the resources' names and versions. The resources themselves are skipped, unless there is a handler.
 */
export class ResponseScanner {
  version = "";
  nonce = "";
  /** Of the response; it may come after the resources. */
  typeUrl = "";
  /** Of the first resource: the same type, known earlier. */
  resourceTypeUrl = "";
  resourceCount = 0;
  readonly resources = new PackedResourceVersions();
  readonly removed: string[] = [];
  readonly #open: { readonly message: Message; readonly end: number }[];
  #at = 0;
  /** Of the current resource, for the handler. */
  #openName = "";
  readonly #handler: ResourceHandler | undefined;
  #step: "tag" | "varint" | "length" | "skip" | "text" | "content" = "tag";
  #number = 0;
  readonly #varint = new VarintReader();
  #left = 0;
  #text: Text = "version";
  readonly #textParts = new ByteParts();
  #keptBytes = 0;
  readonly #textBytes: Budget;

  /** @param length of the whole message, in bytes. @param textBytes limits one text */
  constructor(protocol: XdsProtocol, length: number, textBytes: Budget, handler?: ResourceHandler) {
    this.#open = [{ message: protocol, end: length }];
    this.#textBytes = textBytes;
    this.#handler = handler;
  }

  /** The type; empty while it is not known. */
  get knownTypeUrl(): string {
    return this.typeUrl === "" ? this.resourceTypeUrl : this.typeUrl;
  }

  /**
   * @throws WireError when the bytes are not such a message, and what the handler throws; no more can be pushed after that
   */
  push(chunk: Uint8Array): void {
    for (let i = 0; i < chunk.length; ) {
      if (this.#step === "skip" || this.#step === "text" || this.#step === "content") i += this.#pass(chunk, i);
      else this.#takeByte(chunk[i++] ?? 0);
    }
  }

  /** Allocates nothing for what is skipped: most of a response. */
  #pass(chunk: Uint8Array, from: number): number {
    const length = Math.min(this.#left, chunk.length - from);
    this.#left -= length;
    this.#at += length;
    if (this.#step === "text") this.#passText(chunk, from, from + length);
    else if (this.#step === "content") this.#handler?.onContent(chunk.subarray(from, from + length));
    if (this.#left === 0) this.#endField();
    return length;
  }

  #passText(chunk: Uint8Array, from: number, to: number): void {
    const parts = this.#textParts;
    if (this.#left > 0 || parts.byteLength > 0) parts.push(chunk.slice(from, to));
    if (this.#left > 0) return;
    if (parts.byteLength === 0) this.#keep(this.#text, chunk, from, to);
    else {
      const text = parts.take();
      this.#keep(this.#text, text, 0, text.length);
    }
  }

  #takeByte(byte: number): void {
    this.#at++;
    const value = this.#varint.push(byte);
    if (value === undefined) return;
    if (this.#step === "tag") this.#onTag(value);
    else if (this.#step === "length") this.#onLength(value);
    else this.#endField();
  }

  #onTag(tag: number): void {
    this.#number = Math.floor(tag / 8);
    const type = tag % 8;
    if (this.#number === 0) throw new WireError("field number 0");
    if (type === wireType.varint) this.#step = "varint";
    else if (type === wireType.bytes) this.#step = "length";
    else if (type === wireType.fixed64) this.#skip(8);
    else if (type === wireType.fixed32) this.#skip(4);
    else throw new WireError(`wire type ${String(type)}`);
  }

  #onLength(length: number): void {
    const { message, end } = this.#inner();
    if (this.#at + length > end) throw new WireError("field longer than its message");
    const field = fieldsOf[message][this.#number];
    if (field === "resource" || field === "any") this.#enter(field, length);
    else if (field === undefined) this.#skip(length);
    else if (field === "content") this.#skip(length, this.#handler === undefined ? "skip" : "content");
    else this.#startText(field, length);
  }

  #enter(message: Nested, length: number): void {
    if (this.#open.length === 1) this.resourceCount++;
    this.#open.push({ message, end: this.#at + length });
    this.#step = "tag";
    this.#endMessages();
  }

  #startText(field: Text, length: number): void {
    if (field === "resourceTypeUrl" && this.resourceTypeUrl !== "") {
      this.#skip(length);
      return;
    }
    if (!this.#textBytes.admits(length)) {
      throw new WireError(`string of ${String(length)} bytes: ${this.#textBytes.text}`);
    }
    this.#step = "text";
    this.#text = field;
    this.#left = length;
    if (length > 0) return;
    this.#keep(field, nothing, 0, 0);
    this.#endField();
  }

  #skip(length: number, step: "skip" | "content" = "skip"): void {
    this.#step = step;
    this.#left = length;
    if (length === 0) this.#endField();
  }

  #keep(field: Text, from: Uint8Array, start: number, end: number): void {
    if (field === "resourceName") {
      if (this.#handler !== undefined) this.#openName = textBetween(from, start, end);
      if (this.#isKept(end - start)) this.resources.setName(from, start, end);
    } else if (field === "resourceVersion") {
      if (this.#isKept(end - start)) this.resources.setVersion(from, start, end);
    } else if (field === "removed") {
      if (this.#isKept(end - start + bytesPerName)) this.removed.push(textBetween(from, start, end));
    } else this[field] = textBetween(from, start, end);
  }

  #endField(): void {
    this.#step = "tag";
    this.#endMessages();
  }

  #endMessages(): void {
    for (let inner = this.#inner(); this.#at >= inner.end && this.#open.length > 1; inner = this.#inner()) {
      if (this.#at > inner.end) throw new WireError("field longer than its message");
      this.#open.pop();
      if (inner.message === "resource") this.#endResource();
      else if (this.#open.length === 1) this.#handler?.onResource(String(this.resourceCount - 1));
    }
  }

  #endResource(): void {
    this.#handler?.onResource(this.#openName);
    this.#openName = "";
    if (this.#isKept(bytesPerName)) this.resources.end();
    else this.resources.discard();
  }

  #isKept(bytes: number): boolean {
    this.#keptBytes += bytes;
    return this.#keptBytes <= maxKeptBytes;
  }

  #inner(): { readonly message: Message; readonly end: number } {
    const inner = this.#open.at(-1);
    if (inner === undefined) throw new WireError("no open message");
    return inner;
  }
}
