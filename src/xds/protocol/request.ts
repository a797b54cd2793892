// SPDX-License-Identifier: Apache-2.0
import { runSteps, type Steps } from "../../lib/async/time-slice.ts";
import type { Budget } from "../../lib/budget.ts";
import {
  firstText,
  integerField,
  textField,
  textOf,
  valueOf,
  type WireField,
  wireFields,
  WireReader,
  wireType,
} from "./wire.ts";
import { WireWriter } from "./wire-writer.ts";

/** Whether a response has all resources of its type (state of the world), or only the changes (delta). */
export type XdsProtocol = "sotw" | "delta";

/** A DiscoveryRequest or a DeltaDiscoveryRequest. `subscribe` holds the resource names of both. */
export interface XdsRequest {
  readonly typeUrl: string;
  /** The version accepted last; always empty for delta. */
  readonly version: string;
  readonly nonce: string;
  /** Set when the response with this nonce is rejected (NACK). */
  readonly error: { readonly code: number; readonly message: string } | undefined;
  readonly node: Uint8Array | undefined;
  readonly subscribe: readonly string[];
  readonly unsubscribe: readonly string[];
  readonly initialVersions: ReadonlyMap<string, string>;
  /** All other fields, as they came. */
  readonly rest: readonly Uint8Array[];
}

/** Field numbers. Source: Envoy API, envoy/service/discovery/v3/discovery.proto */
const numbers = {
  sotw: { version: 1, node: 2, subscribe: 3, typeUrl: 4, nonce: 5, error: 6, unsubscribe: 0, initialVersions: 0 },
  delta: { version: 0, node: 1, typeUrl: 2, subscribe: 3, unsubscribe: 4, initialVersions: 5, nonce: 6, error: 7 },
} as const;

/** What a request may have. */
export interface RequestLimits {
  readonly names: Budget;
  readonly nameBytes: Budget;
  readonly textBytes: Budget;
}

/** Fields and names of one step. */
const fieldsPerStep = 64;

/**
 * Reads a request of either protocol.
 * @throws WireError when the bytes are not a protobuf message; BudgetSpentError when it is beyond the limits
 */
export function parseRequest(bytes: Uint8Array, protocol: XdsProtocol, limits?: RequestLimits): XdsRequest {
  return runSteps(parseRequestSteps(bytes, protocol, limits));
}

/** As `parseRequest`, for a request that may have thousands of names. */
export function* parseRequestSteps(
  bytes: Uint8Array,
  protocol: XdsProtocol,
  limits?: RequestLimits,
): Steps<XdsRequest> {
  const parser = new RequestParser(bytes, protocol, limits);
  for (let fields = 1; parser.next(); fields++) if (fields % fieldsPerStep === 0) yield;
  return parser.request;
}

class RequestParser {
  readonly #bytes: Uint8Array;
  readonly #field: WireReader;
  readonly #of: (typeof numbers)[XdsProtocol];
  readonly #limits: RequestLimits | undefined;
  readonly #found = { typeUrl: "", version: "", nonce: "" };
  #error: XdsRequest["error"];
  #node: Uint8Array | undefined;
  readonly #subscribe: string[] = [];
  readonly #unsubscribe: string[] = [];
  readonly #initialVersions = new Map<string, string>();
  readonly #rest: Uint8Array[] = [];
  #fields = 0;

  constructor(bytes: Uint8Array, protocol: XdsProtocol, limits: RequestLimits | undefined) {
    this.#bytes = bytes;
    this.#field = new WireReader(bytes);
    this.#of = numbers[protocol];
    this.#limits = limits;
  }

  get request(): XdsRequest {
    const [error, node] = [this.#error, this.#node];
    const [subscribe, unsubscribe, rest] = [this.#subscribe, this.#unsubscribe, this.#rest];
    return { ...this.#found, error, node, subscribe, unsubscribe, initialVersions: this.#initialVersions, rest };
  }

  /** Reads the next field. @returns false after the last one */
  next(): boolean {
    const field = this.#field;
    if (!field.next()) return false;
    const names = this.#limits?.names;
    // Each name may have a version beside it.
    if (names !== undefined && ++this.#fields > 2 * names.size && !names.admits(this.#fields)) throw names.spentError();
    const of = this.#of;
    const number = field.type === wireType.bytes ? field.number : -1;
    if (number === of.subscribe) this.#subscribe.push(this.#name());
    else if (number === of.unsubscribe) this.#unsubscribe.push(this.#name());
    else if (number === of.initialVersions) this.#addVersion();
    else if (number === of.typeUrl) this.#found.typeUrl = this.#text();
    else if (number === of.version) this.#found.version = this.#text();
    else if (number === of.nonce) this.#found.nonce = this.#text();
    else if (number === of.node) this.#node = valueOf(this.#bytes, field);
    else if (number === of.error) this.#error = parseStatus(valueOf(this.#bytes, field), this.#limits?.textBytes.size);
    else this.#rest.push(this.#bytes.subarray(field.start, field.end));
    return true;
  }

  #name(): string {
    this.#limit(this.#limits?.nameBytes, this.#field);
    return textOf(this.#bytes, this.#field);
  }

  #text(): string {
    this.#limit(this.#limits?.textBytes, this.#field);
    return textOf(this.#bytes, this.#field);
  }

  #addVersion(): void {
    this.#limit(this.#limits?.textBytes, this.#field);
    const entry = valueOf(this.#bytes, this.#field);
    const field = new WireReader(entry);
    let [name, version] = ["", ""];
    while (field.next()) {
      if (field.type !== wireType.bytes) continue;
      if (field.number === 1) {
        this.#limit(this.#limits?.nameBytes, field);
        name = textOf(entry, field);
      } else if (field.number === 2) version = textOf(entry, field);
    }
    this.#initialVersions.set(name, version);
  }

  #limit(budget: Budget | undefined, { valueStart, end }: WireField): void {
    if (budget?.admits(end - valueStart) === false) throw budget.spentError();
  }
}

/** A request to write; its names and versions may be made while it is written. */
export interface RenderedRequest extends Partial<Omit<XdsRequest, "subscribe" | "initialVersions">> {
  readonly typeUrl: string;
  readonly subscribe?: Iterable<string>;
  readonly initialVersions?: Iterable<readonly [string, string]>;
}

/** The bytes of a request; empty fields are left out. */
export function renderRequest(request: RenderedRequest, protocol: XdsProtocol): Uint8Array {
  return runSteps(renderRequestSteps(request, protocol));
}

/** As `renderRequest`, for a request that may have thousands of names. */
export function* renderRequestSteps(request: RenderedRequest, protocol: XdsProtocol): Steps<Uint8Array> {
  const of = numbers[protocol];
  const { node, error } = request;
  const writer = new WireWriter();
  if (of.version !== 0) writer.optionalText(of.version, request.version ?? "");
  if (node !== undefined) writer.bytes(of.node, node);
  yield* writeNames(writer, of.subscribe, request.subscribe ?? []);
  writer.optionalText(of.typeUrl, request.typeUrl);
  if (protocol === "delta") {
    yield* writeNames(writer, of.unsubscribe, request.unsubscribe ?? []);
    yield* writeVersions(writer, of.initialVersions, request.initialVersions);
  }
  writer.optionalText(of.nonce, request.nonce ?? "");
  if (error !== undefined) writer.bytes(of.error, renderStatus(error.code, error.message));
  for (const field of request.rest ?? []) writer.raw(field);
  return writer.finish();
}

function* writeNames(writer: WireWriter, number: number, names: Iterable<string>): Steps<void> {
  let count = 0;
  for (const name of names) {
    writer.text(number, name);
    if (++count % fieldsPerStep === 0) yield;
  }
}

function* writeVersions(
  writer: WireWriter,
  number: number,
  versions: Iterable<readonly [string, string]> | undefined,
): Steps<void> {
  let count = 0;
  for (const [name, version] of versions ?? []) {
    writer.entry(number, name, version);
    if (++count % fieldsPerStep === 0) yield;
  }
}

/** Of a node: its ID and `user_agent_name`, which is `envoy` for Envoy. Source: Envoy API, core/v3/base.proto */
export function nodeFacts(node: Uint8Array): { readonly id: string; readonly userAgent: string } {
  return { id: firstText(node, 1), userAgent: firstText(node, 6) };
}

function renderStatus(code: number, message: string): Uint8Array {
  return Buffer.concat([integerField(1, code), textField(2, message)]);
}

/** @param maxText of the message; the rest is cut off: an Envoy that rejects thousands of resources names them all */
function parseStatus(
  bytes: Uint8Array,
  maxText = Number.POSITIVE_INFINITY,
): { readonly code: number; readonly message: string } {
  let code = 0;
  let message = "";
  for (const field of wireFields(bytes)) {
    if (field.number === 1 && field.type === wireType.varint) code = bytes[field.valueStart] ?? 0;
    else if (field.number === 2 && field.type === wireType.bytes) {
      message = textOf(bytes, { ...field, end: Math.min(field.end, field.valueStart + maxText) });
    }
  }
  return { code, message };
}
